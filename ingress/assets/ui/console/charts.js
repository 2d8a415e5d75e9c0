// Charts of the last five minutes. Readings are kept from the moment the console is opened, whatever view is shown.
import uPlot from '../vendor/uplot.js';
import { html, useEffect, useRef } from '../shared/ui.js';
import { quantile } from './promql.js';
import { onReading, useReadings } from './readings.js';

/** One reading a second for five minutes. */
const READINGS_MAX = 300;
const HEIGHT = 150;
const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hourCycle: 'h23' });

const matches = (labels, wanted) =>
  Object.entries(wanted).every(([name, value]) => (value instanceof RegExp ? value.test(labels[name] ?? '') : labels[name] === value));
const of = (samples, name, wanted = {}) => (samples.get(name) ?? []).filter(({ labels }) => matches(labels, wanted));
const sum = (samples, name, wanted) => of(samples, name, wanted).reduce((all, { value }) => all + value, 0);
const greatest = (samples, name) => of(samples, name).reduce((most, { value }) => Math.max(most, value), 0);

/** The cumulative buckets of a histogram for the time between two readings. */
function buckets(name, wanted, now, before) {
  const bounds = new Map();
  for (const [samples, sign] of [
    [now, 1],
    [before, -1],
  ]) {
    for (const { labels, value } of of(samples, `${name}_bucket`, wanted)) {
      const bound = labels.le === '+Inf' ? Infinity : Number(labels.le);
      bounds.set(bound, (bounds.get(bound) ?? 0) + sign * value);
    }
  }
  return [...bounds];
}

const rise = (name, wanted) => (now, before) => Math.max(0, sum(now, name, wanted) - sum(before, name, wanted));
const rate = (name, wanted) => (now, before, seconds) => rise(name, wanted)(now, before) / seconds;
const mean = (name) => (now, before) => {
  const count = rise(`${name}_count`)(now, before);
  return count > 0 ? rise(`${name}_sum`)(now, before) / count : null;
};
const latency = (share) => (now, before) => {
  const seconds = quantile(share, buckets('holdfast_http_request_seconds', { endpoint: 'create_hold' }, now, before));
  return seconds === null ? null : 1000 * seconds;
};
const HOLDS = 'holdfast_http_requests_total';
/** Title and lines of each chart. */
const CHARTS = [
  [
    'Holds and refusals per second',
    [
      ['holds', rate(HOLDS, { endpoint: 'create_hold', status: '201' })],
      ['refusals', rate(HOLDS, { endpoint: 'create_hold', status: /^4/ })],
    ],
  ],
  [
    'Latency of holds, ms',
    [
      ['p50', latency(0.5)],
      ['p99', latency(0.99)],
    ],
  ],
  ['Backlog, envelopes', [['backlog', (now) => sum(now, 'holdfast_backlog_envelopes')]]],
  ['Commands per batch', [['mean', mean('holdfast_batch_commands')]]],
  ['Expiry delay, s', [['mean', mean('holdfast_expiry_lag_seconds')]]],
  ['Oldest waiting command, s', [['oldest', (now) => greatest(now, 'holdfast_oldest_command_seconds')]]],
];

/** The time of each reading, and the value of every line. */
let points = [];

onReading(({ now, before }) => {
  if (!now.isThere || !before?.isThere) return;
  const values = CHARTS.map(([, series]) => series.map(([, value]) => value(now.samples, before.samples, now.at - before.at)));
  points = [...points.slice(1 - READINGS_MAX), { at: now.at, values }];
});

export function Charts() {
  useReadings(({ now }) => now.at);
  return html`<div class="charts">${CHARTS.map(([title, series], index) => html`<${Chart} key=${title} title=${title} series=${series} readings=${points} index=${index} />`)}</div>`;
}

function Chart({ title, series, readings, index }) {
  const container = useRef(null);
  const plot = useRef(null);
  const columns = [readings.map(({ at }) => at), ...series.map((_, of) => readings.map(({ values }) => values[index][of]))];
  useEffect(() => {
    // Kept in a variable: preact clears the ref before it calls the clean-up.
    const element = container.current;
    // Read for each drawing, because the colour scheme may change.
    const colours = getComputedStyle(document.documentElement);
    const colour = (name) => () => colours.getPropertyValue(`--${name}`).trim();
    const strokes = [colour('accent'), colour('quiet')];
    const axis = { stroke: colour('quiet'), grid: { stroke: colour('line'), width: 1 }, ticks: { show: false }, font: '12px system-ui' };
    const options = {
      width: element.clientWidth,
      height: HEIGHT,
      cursor: { y: false },
      legend: { show: false },
      scales: { y: { range: (_, __, most) => [0, most > 0 ? most * 1.1 : 1] } },
      axes: [
        { ...axis, grid: { show: false }, size: 28, space: 90, values: (_, times) => times.map((at) => clock.format(at * 1000)) },
        axis,
      ],
      // For the browser tests: the colour that was used.
      hooks: { draw: [() => (element.dataset.accent = strokes[0]())] },
      series: [{}, ...series.map(([label], of) => ({ label, stroke: strokes[of], width: 1.5, spanGaps: true, points: { show: false } }))],
    };
    plot.current = new uPlot(options, columns, element);
    const watch = new ResizeObserver(() => element.isConnected && plot.current.setSize({ width: element.clientWidth, height: HEIGHT }));
    watch.observe(element);
    const darkScheme = matchMedia('(prefers-color-scheme: dark)');
    const redraw = () => plot.current.redraw();
    darkScheme.addEventListener('change', redraw);
    return () => {
      darkScheme.removeEventListener('change', redraw);
      watch.disconnect();
      plot.current.destroy();
    };
  }, []);
  useEffect(() => plot.current?.setData(columns), [readings]);
  const newest = readings.at(-1)?.values[index];
  const newestValue = (of) =>
    newest?.[of] === null || newest?.[of] === undefined ? '–' : Number(newest[of].toFixed(newest[of] < 10 ? 2 : 0)).toLocaleString();
  return html`<section class="card" aria-label=${title}>
    <h3>${title}</h3>
    <dl class="legend lines">${series.map(([label], of) => html`<div class=${of === 0 ? 'sold' : 'second'}><dt>${label}</dt><dd>${newestValue(of)}</dd></div>`)}</dl>
    <div class="plot" ref=${container} aria-hidden="true"></div>
  </section>`;
}
