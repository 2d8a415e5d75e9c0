// Verifies stock: counts each product's units from its holds and orders, and corrects wrong counts.
import { number } from '../../shared/format.js';
import { html, useState } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { ResultNotice, useAction } from '../parts.js';

/** The fixed number of slots. The server returns the next slot, from which the progress is computed. */
const SLOTS = 4096;
const COUNTS = {
  total_stock: 'total',
  available_stock: 'available',
  held_stock: 'held',
  sold_stock: 'sold',
  holds_count: 'active holds',
  hold_sequence: 'sequence of the last hold',
  paid_orders_without_payment: 'paid orders without a payment',
};

export function Stock() {
  const [verified, setVerified] = useState(null);
  const [share, setShare] = useState(null);
  const { isRunning, result, run } = useAction(() => {});
  const verify = async () => {
    const all = { products: 0, drift: [] };
    setVerified(null);
    setShare(0);
    try {
      for (let next = 0; next !== null;) {
        const page = await read(`stock/verify?after=${next}`);
        all.products += page.products;
        all.drift.push(...page.drift);
        next = page.next;
        setShare((next ?? SLOTS) / SLOTS);
      }
      setVerified({ ...all, at: new Date() });
    } finally {
      setShare(null);
    }
  };
  const recalculate = (drift) => () =>
    run(`The counts of ${drift.name} were corrected.`, async () => {
      await change('POST', `products/${drift.product_id}/recalculate`);
      const again = await read(`stock/verify?product_id=${drift.product_id}`);
      setVerified((current) => ({ ...current, drift: current.drift.flatMap((one) => (one === drift ? again.drift : [one])) }));
    });
  return html`<p class="quiet">Counts each product’s units from its holds, orders and payments, and compares them with the stored counts. This changes nothing, and a sale may run at the same time.</p>
    <div class="actions tight"><button class="main" disabled=${isRunning || share !== null} onClick=${() => run(null, verify)}>${share === null ? 'Verify stock' : 'Counting …'}</button></div>
    ${share !== null && html`<progress max="1" value=${share} aria-label="Counted"></progress>`}
    <${ResultNotice} result=${result} />
    <div role="status">${verified && html`<${Verdict} verified=${verified} />`}</div>
    ${verified?.drift.length > 0 && html`<${Findings} drift=${verified.drift} isRunning=${isRunning} recalculate=${recalculate} />`}`;
}

function Verdict({ verified: { products, drift, at } }) {
  const productCount = products === 1 ? 'one product' : `${number(products)} products`;
  const verdict =
    drift.length === 0
      ? 'All counts are correct.'
      : `${number(drift.length)} of ${productCount} ${drift.length === 1 ? 'has' : 'have'} wrong counts.`;
  return html`<div class=${`notice ${drift.length === 0 ? 'good' : 'bad'}`} data-drift=${drift.length}><p><strong>${verdict}</strong> ${drift.length === 0 ? `Verified ${productCount}` : 'Verified'} at ${at.toLocaleTimeString()}.</p></div>`;
}

const Findings = ({ drift, isRunning, recalculate }) => html`<h2>Wrong counts</h2>
  <ul class="cards wide">${drift.map(
    (one) => html`<li key=${one.product_id}><article class="card" data-off=${one.product_id}>
    <h2>${one.name} <span class="quiet small plain">number ${one.product_id}</span></h2>
    <table class="few">
      <thead><tr><th scope="col">Count</th><th scope="col" class="number">Stored</th><th scope="col" class="number">Should be</th></tr></thead>
      <tbody>${Object.entries(one.off).map(
        ([name, { stored, should_be: shouldBe }]) => html`<tr key=${name}>
        <td>${COUNTS[name] ?? name}</td>
        <td class="number">${number(stored)}</td>
        <td class="number"><strong>${number(shouldBe)}</strong></td>
      </tr>`,
      )}</tbody>
    </table>
    ${
      one.can_be_mended
        ? html`<div class="actions tight"><button disabled=${isRunning} onClick=${recalculate(one)}>Recalculate</button></div>`
        : html`<p class="small quiet">Recalculating can’t correct this. See the product’s audit trail.</p>`
    }
  </article></li>`,
  )}</ul>
  <p class="small quiet after">Recalculate sends a command through the log. A worker counts again when it applies the command. When more units are held and sold than the product has, the missing units are added, so that every hold and order is kept.</p>`;
