// All of a sale at a glance, over time, and who applies which partition.
import { number, time } from '../shared/format.js';
import { StockBar } from '../shared/stock.js';
import { html } from '../shared/ui.js';
import { metrics, read } from './api.js';
import { Charts } from './charts.js';
import { Rows, useReading } from './parts.js';

const ask = async () => {
  const [overview, samples] = await Promise.all([read('overview'), metrics().catch(() => null)]);
  return { overview, samples };
};

/** Unapplied envelopes by partition, where the process counts them. */
function backlog(samples) {
  const found = (samples ?? []).filter(({ name }) => name === 'holdfast_backlog_envelopes');
  return new Map(found.map(({ labels, value }) => [Number(labels.partition), value]));
}

export function Overview() {
  const { value } = useReading(ask);
  if (!value) return html`<p class="quiet">…</p>`;
  const { overview, samples } = value;
  const waiting = backlog(samples);
  const figures = [
    ['products', overview.products],
    ['active holds', overview.holds_count],
    ['orders to be paid', overview.orders_pending_payment],
    ['payments parked', overview.payments_parked],
    ['refunds due', overview.refunds_due],
    ['refunds asked for', overview.refunds_requested],
  ];
  return html`<section class="card" aria-label="Stock">
      <dl class="figures">${figures.map(([name, count]) => html`<div><dt>${name}</dt><dd>${number(count)}</dd></div>`)}</dl>
      <h2>All stock</h2>
      <${StockBar} product=${overview} />
    </section>
    <h2>Over time</h2>
    ${samples && !samples.some(({ name }) => name.startsWith('holdfast_batch')) && html`<p class="quiet">What workers count is at their own METRICS_PORT. Here are the numbers of this ingress.</p>`}
    <${Charts} />
    <h2>Partitions</h2>
    <${Rows} name="Partitions" rows=${overview.partitions} none="There are none." head=${['Partition', 'Worker', 'Lease until', 'Epoch', 'Waiting']}>
      ${(partition) => html`<tr key=${partition.partition}>
        <td>${partition.partition}</td>
        <td>${partition.owner ? html`<code>${partition.owner}</code>` : html`<span class="badge bad">nobody</span>`}</td>
        <td>${time(partition.lease_until)}</td>
        <td>${partition.epoch}</td>
        <td>${waiting.has(partition.partition) ? number(waiting.get(partition.partition)) : '–'}</td>
      </tr>`}
    <//>`;
}
