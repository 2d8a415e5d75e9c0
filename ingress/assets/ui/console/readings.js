// Reads the metrics of the ingress and the statistics of the workers at an interval, once for all views of the console.
import { useEffect, useState } from '../shared/ui.js';
import { metrics, read } from './api.js';

const READ_INTERVAL_MS = 1000;
/** A hidden tab reads too, because its title shows the number of alerts. */
const READ_INTERVAL_HIDDEN_MS = 5000;
/** The history for rates: one reading in 10 seconds, for the longest range of the rules. */
const HISTORY_STEP_SECONDS = 10;
const HISTORY_SECONDS = 15 * 60;

const changed = new EventTarget();
/** `now` and `before` are the last two readings (see promql.js), `history` ends with `now`. */
export const readings = { now: null, before: null, history: [] };

/** Calls `callback` after each reading. */
export const onReading = (callback) => changed.addEventListener('read', () => callback(readings));

/** The result of `of(readings)`, updated when it changes; undefined before the first reading. */
export function useReadings(of, inputs = []) {
  const [result, setResult] = useState(undefined);
  useEffect(() => {
    const update = () => {
      const now = readings.now ? of(readings) : undefined;
      // Most readings change nothing. Then the old result stays, and preact renders nothing.
      setResult((current) => (JSON.stringify(current) === JSON.stringify(now) ? current : now));
    };
    update();
    changed.addEventListener('read', update);
    return () => changed.removeEventListener('read', update);
  }, inputs);
  return result;
}

/** The statistics of all workers, under the names of their metrics in Prometheus. */
function samplesOf({ workers, expired, expired_within: within, expired_late_seconds: late, ...counts }) {
  const one = (value, labels = {}) => [{ labels, value }];
  const buckets = within.map(({ seconds, count }) => ({ labels: { le: String(seconds) }, value: count }));
  return {
    holdfast_backlog_envelopes: workers.flatMap(({ owner, partitions }) =>
      partitions.map(({ partition, backlog }) => ({ labels: { partition: String(partition), owner }, value: backlog })),
    ),
    holdfast_batch_commands_count: one(counts.batches),
    holdfast_batch_commands_sum: one(counts.commands),
    holdfast_commands_total: one(counts.mismatches, { action: 'settle_payment', outcome: 'mismatch' }),
    holdfast_expiry_lag_seconds_bucket: [...buckets, ...one(expired, { le: '+Inf' })],
    holdfast_expiry_lag_seconds_count: one(expired),
    holdfast_expiry_lag_seconds_sum: one(late),
    holdfast_pool_connections: workers.flatMap(({ owner, connections_used: used, connections_idle: idle }) =>
      [
        ['used', used],
        ['idle', idle],
      ].map(([state, value]) => ({ labels: { pool: 'workers', state, instance: owner }, value })),
    ),
  };
}

const up = (value) => [{ labels: { job: 'holdfast-ingress', instance: location.host }, value }];

async function readAll() {
  const at = (performance.timeOrigin + performance.now()) / 1000;
  let samples = new Map();
  let isThere = true;
  try {
    const [own, workers] = await Promise.all([metrics(), read('workers')]);
    samples = own.set('up', up(1));
    for (const [name, received] of Object.entries(samplesOf(workers))) {
      // In `holdfast dev`, workers run in the ingress's process, and its metrics have their counts too.
      const ownPools = name === 'holdfast_pool_connections' ? (own.get(name) ?? []).filter(({ labels }) => labels.pool === 'ingress') : [];
      samples.set(name, [...ownPools.map(({ labels, value }) => ({ labels: { ...labels, instance: location.host }, value })), ...received]);
    }
  } catch {
    isThere = false;
    samples = new Map([['up', up(0)]]);
  }
  const kept = readings.history.slice(0, -1);
  const last = readings.history.at(-1);
  // The last reading stays in the history when it is far enough from the one before.
  if (last && last.at - (kept.at(-1)?.at ?? -Infinity) >= HISTORY_STEP_SECONDS) kept.push(last);
  readings.before = readings.now;
  readings.now = { at, samples, isThere };
  readings.history = [...kept.filter((reading) => reading.at > at - HISTORY_SECONDS - HISTORY_STEP_SECONDS), readings.now];
  changed.dispatchEvent(new Event('read'));
}

/** Starts the readings. */
export function start() {
  let timer;
  const again = async () => {
    clearTimeout(timer);
    await readAll();
    clearTimeout(timer);
    timer = setTimeout(again, document.hidden ? READ_INTERVAL_HIDDEN_MS : READ_INTERVAL_MS);
  };
  document.addEventListener('visibilitychange', () => document.hidden || again());
  again();
}
