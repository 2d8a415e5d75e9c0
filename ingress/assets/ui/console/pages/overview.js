// Overview: counts of the whole sale, charts, and the worker of each partition.
import { number } from '../../shared/format.js';
import { StockBar } from '../../shared/stock.js';
import { html } from '../../shared/ui.js';
import { read } from '../api.js';
import { Charts } from '../charts.js';
import { At, Rows, useReading } from '../parts.js';
import { useReadings } from '../readings.js';

const fetchValue = () => read('overview');

/** The number of unapplied envelopes by partition, as the workers report it. */
const backlog = ({ now: { samples } }) =>
  Object.fromEntries((samples.get('holdfast_backlog_envelopes') ?? []).map(({ labels, value }) => [labels.partition, value]));

export function Overview() {
  const { value: overview } = useReading(fetchValue);
  const backlogs = useReadings(backlog) ?? {};
  if (!overview) return html`<p class="quiet">…</p>`;
  const figures = [
    ['products', overview.products],
    ['active holds', overview.holds_count],
    ['unpaid orders', overview.orders_pending_payment],
    ['parked payments', overview.payments_parked],
    ['refunds due', overview.refunds_due],
    ['refunds requested', overview.refunds_requested],
  ];
  return html`<section class="card" aria-label="Stock">
      <dl class="figures">${figures.map(([name, count]) => html`<div><dt>${name}</dt><dd>${number(count)}</dd></div>`)}</dl>
      <h2>All stock</h2>
      <${StockBar} product=${overview} />
    </section>
    <h2>Over time</h2>
    <p class="quiet small">Holds, refusals and latencies are those of this ingress. The other charts are of all workers.</p>
    <${Charts} />
    <h2>Partitions</h2>
    <${Rows} name="Partitions" rows=${overview.partitions} none="There are no partitions." head=${['Partition', 'Worker', 'Lease until', 'Epoch', 'Backlog, envelopes']} numbers=${[0, 3, 4]}>
      ${(partition) => html`<tr key=${partition.partition}>
        <td class="number">${partition.partition}</td>
        <td>${partition.owner ? html`<code>${partition.owner}</code>` : html`<span class="badge bad">no worker</span>`}</td>
        <td><${At} at=${partition.lease_until} /></td>
        <td class="number">${partition.epoch}</td>
        <td class="number">${backlogs[partition.partition] === undefined ? '–' : number(backlogs[partition.partition])}</td>
      </tr>`}
    <//>`;
}
