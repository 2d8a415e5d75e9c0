// What the console reads again and again, once for all of its views: what the ingress counts, and what workers have told it.
import { useEffect, useState } from '../shared/ui.js';
import { metrics, read } from './api.js';

const LOOK_MS = 1000;
/** A tab that nobody looks at still notices what is wrong. */
const LOOK_HIDDEN_MS = 5000;
/** What rates are made of: a reading in so many seconds, as far back as the rules look. */
const KEEP_EVERY = 10;
const KEEP_FOR = 15 * 60;

const changed = new EventTarget();
/** `now` and `before` are the last two readings (see promql.js), `history` ends with `now`. */
export const readings = { now: null, before: null, history: [] };

/** Calls back after each reading. */
export const onReading = (hear) => changed.addEventListener('read', () => hear(readings));

/** What `of` makes of the readings, whenever that is another than before; undefined until there are any. */
export function useReadings(of, inputs = []) {
  const [made, setMade] = useState(undefined);
  useEffect(() => {
    const look = () => {
      const now = readings.now ? of(readings) : undefined;
      // Most readings change nothing, and then nothing is drawn again.
      setMade((known) => (JSON.stringify(known) === JSON.stringify(now) ? known : now));
    };
    look();
    changed.addEventListener('read', look);
    return () => changed.removeEventListener('read', look);
  }, inputs);
  return made;
}

/** Every worker's numbers under the names that they have in Prometheus. */
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

async function look() {
  const at = (performance.timeOrigin + performance.now()) / 1000;
  let samples = new Map();
  let isThere = true;
  try {
    const [own, workers] = await Promise.all([metrics(), read('workers')]);
    samples = own.set('up', up(1));
    for (const [name, told] of Object.entries(samplesOf(workers))) {
      // Where workers run in the ingress's process, as in `dev`, they are counted there too.
      const ours = name === 'holdfast_pool_connections' ? (own.get(name) ?? []).filter(({ labels }) => labels.pool === 'ingress') : [];
      samples.set(name, [...ours.map(({ labels, value }) => ({ labels: { ...labels, instance: location.host }, value })), ...told]);
    }
  } catch {
    isThere = false;
    samples = new Map([['up', up(0)]]);
  }
  const kept = readings.history.slice(0, -1);
  const last = readings.history.at(-1);
  // The last one stays where it is far enough from the one before.
  if (last && last.at - (kept.at(-1)?.at ?? -Infinity) >= KEEP_EVERY) kept.push(last);
  readings.before = readings.now;
  readings.now = { at, samples, isThere };
  readings.history = [...kept.filter((reading) => reading.at > at - KEEP_FOR - KEEP_EVERY), readings.now];
  changed.dispatchEvent(new Event('read'));
}

/** Begins to read. */
export function start() {
  let timer;
  const again = async () => {
    clearTimeout(timer);
    await look();
    clearTimeout(timer);
    timer = setTimeout(again, document.hidden ? LOOK_HIDDEN_MS : LOOK_MS);
  };
  document.addEventListener('visibilitychange', () => document.hidden || again());
  again();
}
