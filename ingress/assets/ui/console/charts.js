// How a sale went in the last minutes, from `/metrics`: it is read again and again while this view is open.
import uPlot from '../vendor/uplot.js';
import { html, useEffect, useRef, useState } from '../shared/ui.js';
import { metrics } from './api.js';

const LOOK_MS = 1000;
/** How many readings are kept. */
const READINGS_MAX = 300;
const HEIGHT = 150;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

const is = (labels, wanted) => Object.entries(wanted).every(([name, value]) => (value instanceof RegExp ? value.test(labels[name] ?? '') : labels[name] === value));
const sum = (samples, name, wanted = {}) =>
  samples.filter((sample) => sample.name === name && is(sample.labels, wanted)).reduce((all, { value }) => all + value, 0);
const greatest = (samples, name) => samples.filter((sample) => sample.name === name).reduce((most, { value }) => Math.max(most, value), 0);

/** A quantile of what a histogram counted between two readings, like Prometheus's `histogram_quantile`. */
export function quantile(share, name, wanted, now, before) {
  const bounds = new Map();
  for (const [samples, sign] of [[now, 1], [before, -1]]) {
    for (const sample of samples) {
      if (sample.name !== `${name}_bucket` || !is(sample.labels, wanted)) continue;
      const bound = sample.labels.le === '+Inf' ? Infinity : Number(sample.labels.le);
      bounds.set(bound, (bounds.get(bound) ?? 0) + sign * sample.value);
    }
  }
  const buckets = [...bounds].sort(([a], [b]) => a - b);
  const all = buckets.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const rank = share * all;
  let [below, lower] = [0, 0];
  for (const [bound, count] of buckets) {
    if (count >= rank) return bound === Infinity ? lower : lower + ((bound - lower) * (rank - below)) / Math.max(count - below, 1e-9);
    [below, lower] = [count, bound];
  }
  return lower;
}

const mean = (name) => (now, before) => {
  const count = sum(now, `${name}_count`) - sum(before, `${name}_count`);
  return count > 0 ? (sum(now, `${name}_sum`) - sum(before, `${name}_sum`)) / count : null;
};
const rate = (name, wanted) => (now, before, seconds) => (sum(now, name, wanted) - sum(before, name, wanted)) / seconds;
const latency = (share) => (now, before) => {
  const seconds = quantile(share, 'holdfast_http_request_seconds', { endpoint: 'create_hold' }, now, before);
  return seconds === null ? null : 1000 * seconds;
};
const HOLDS = 'holdfast_http_requests_total';
const SECONDS = 'holdfast_http_request_seconds';
/** A title, the metric without which there is nothing to draw, and the lines. */
const CHARTS = [
  ['Holds and refusals a second', SECONDS, [['holds', rate(HOLDS, { endpoint: 'create_hold', status: '201' })], ['refusals', rate(HOLDS, { endpoint: 'create_hold', status: /^4/ })]]],
  ['How long a hold takes, ms', SECONDS, [['p50', latency(0.5)], ['p99', latency(0.99)]]],
  ['Envelopes that wait', 'holdfast_backlog_envelopes', [['backlog', (now) => sum(now, 'holdfast_backlog_envelopes')]]],
  ['Commands in a batch', 'holdfast_batch_commands', [['mean', mean('holdfast_batch_commands')]]],
  ['How late holds expire, s', 'holdfast_expiry_lag_seconds', [['mean', mean('holdfast_expiry_lag_seconds')]]],
  ['Oldest command that waits, s', 'holdfast_oldest_command_seconds', [['oldest', (now) => greatest(now, 'holdfast_oldest_command_seconds')]]],
];

export function Charts() {
  const [readings, setReadings] = useState([]);
  const [names, setNames] = useState([]);
  useEffect(() => {
    let timer;
    let last;
    let isOver = false;
    const look = async () => {
      const samples = await metrics().catch(() => null);
      if (isOver) return;
      if (samples) {
        const at = performance.timeOrigin / 1000 + performance.now() / 1000;
        const found = [...new Set(samples.map(({ name }) => name))];
        setNames((known) => (known.length === found.length ? known : found));
        if (last) {
          const seconds = at - last.at;
          const values = CHARTS.map(([, , series]) => series.map(([, value]) => value(samples, last.samples, seconds)));
          setReadings((known) => [...known.slice(1 - READINGS_MAX), { at, values }]);
        }
        last = { at, samples };
      }
      timer = setTimeout(look, LOOK_MS);
    };
    look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  // Workers that run by themselves count at their own address.
  const counted = (metric) => names.some((name) => name.startsWith(metric));
  return html`<div class="charts">${CHARTS.map(([title, metric, series], index) => counted(metric) && html`<${Chart} key=${title} title=${title} series=${series} readings=${readings} index=${index} />`)}</div>`;
}

function Chart({ title, series, readings, index }) {
  const place = useRef(null);
  const plot = useRef(null);
  const columns = [readings.map(({ at }) => at), ...series.map((_, of) => readings.map(({ values }) => values[index][of]))];
  useEffect(() => {
    // Asked for at each drawing: light may become dark meanwhile.
    const colours = getComputedStyle(document.documentElement);
    const colour = (name) => () => colours.getPropertyValue(`--${name}`).trim();
    const strokes = [colour('accent'), colour('quiet')];
    const axis = { stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '12px system-ui' };
    const options = {
      width: place.current.clientWidth,
      height: HEIGHT,
      cursor: { y: false },
      legend: { show: false },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [{ ...axis, grid: { show: false }, size: 28, space: 90, values: (_, times) => times.map((at) => clock.format(at * 1000)) }, axis],
      series: [{}, ...series.map(([label], of) => ({ label, stroke: strokes[of], width: 1.5, spanGaps: true, points: { show: false } }))],
    };
    plot.current = new uPlot(options, columns, place.current);
    // When the view goes, its place is gone first.
    const element = place.current;
    const watch = new ResizeObserver(() => element.isConnected && plot.current.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    return () => {
      watch.disconnect();
      plot.current.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(columns), [readings]);
  const newest = readings.at(-1)?.values[index];
  const shown = (of) => (newest?.[of] === null || newest?.[of] === undefined ? '–' : newest[of].toFixed(newest[of] < 10 ? 2 : 0));
  return html`<section class="card" aria-label=${title}>
    <h3>${title}</h3>
    <dl class="legend lines">${series.map(([label], of) => html`<div class=${of === 0 ? 'sold' : 'second'}><dt>${label}</dt><dd>${shown(of)}</dd></div>`)}</dl>
    <div class="plot" ref=${place} aria-hidden="true"></div>
  </section>`;
}
