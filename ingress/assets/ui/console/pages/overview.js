// All of a sale at a glance, over time, and who applies which partition.
import { number } from '../../shared/format.js';
import { StockBar } from '../../shared/stock.js';
import { html } from '../../shared/ui.js';
import { read } from '../api.js';
import { Charts } from '../charts.js';
import { At, Rows, useReading } from '../parts.js';
import { useReadings } from '../readings.js';

const ask = () => read('overview');

/** Unapplied envelopes by partition, as its worker has said. */
const backlog = ({ now: { samples } }) =>
  Object.fromEntries((samples.get('holdfast_backlog_envelopes') ?? []).map(({ labels, value }) => [labels.partition, value]));

export function Overview() {
  const { value: overview } = useReading(ask);
  const waiting = useReadings(backlog) ?? {};
  if (!overview) return html`<p class="quiet">…</p>`;
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
    <p class="quiet small">Requests are those of this ingress; the rest is of all workers.</p>
    <${Charts} />
    <h2>Partitions</h2>
    <${Rows} name="Partitions" rows=${overview.partitions} none="There are none." head=${['Partition', 'Worker', 'Lease until', 'Epoch', 'Envelopes that wait']} numbers=${[0, 3, 4]}>
      ${(partition) => html`<tr key=${partition.partition}>
        <td class="number">${partition.partition}</td>
        <td>${partition.owner ? html`<code>${partition.owner}</code>` : html`<span class="badge bad">nobody</span>`}</td>
        <td><${At} at=${partition.lease_until} /></td>
        <td class="number">${partition.epoch}</td>
        <td class="number">${waiting[partition.partition] === undefined ? '–' : number(waiting[partition.partition])}</td>
      </tr>`}
    <//>`;
}
