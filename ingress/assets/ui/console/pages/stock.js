// Verify stock: each product's units counted anew from its holds and orders; and set right where a count is off.
import { number } from '../../shared/format.js';
import { html, useState } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { Said, useDoing } from '../parts.js';

/** How many slots there are, fixed for ever; the server says how far it has come. */
const SLOTS = 4096;
const COUNTS = {
  total_stock: 'in all',
  available_stock: 'available',
  held_stock: 'held',
  sold_stock: 'sold',
  holds_count: 'active holds',
  hold_sequence: 'sequence of the last hold',
  paid_orders_without_payment: 'paid orders without a payment',
};

export function Stock() {
  const [found, setFound] = useState(null);
  const [share, setShare] = useState(null);
  const { isDoing, said, run } = useDoing(() => {});
  const verify = async () => {
    const all = { products: 0, drift: [] };
    setFound(null);
    setShare(0);
    try {
      for (let next = 0; next !== null;) {
        const page = await read(`stock/verify?after=${next}`);
        all.products += page.products;
        all.drift.push(...page.drift);
        next = page.next;
        setShare((next ?? SLOTS) / SLOTS);
      }
      setFound({ ...all, at: new Date() });
    } finally {
      setShare(null);
    }
  };
  const recalculate = (drift) => () =>
    run(`${drift.name} was counted anew and set right.`, async () => {
      await change('POST', `products/${drift.product_id}/recalculate`);
      const again = await read(`stock/verify?product_id=${drift.product_id}`);
      setFound((now) => ({ ...now, drift: now.drift.flatMap((one) => (one === drift ? again.drift : [one])) }));
    });
  return html`<p class="quiet">Counts each product’s units anew, from its holds, orders and payments alone. It only looks, and a sale may run meanwhile.</p>
    <div class="actions tight"><button class="main" disabled=${isDoing || share !== null} onClick=${() => run(null, verify)}>${share === null ? 'Verify stock' : 'Counting …'}</button></div>
    ${share !== null && html`<progress max="1" value=${share} aria-label="Counted"></progress>`}
    <${Said} said=${said} />
    <div role="status">${found && html`<${Verdict} found=${found} />`}</div>
    ${found?.drift.length > 0 && html`<${Findings} drift=${found.drift} isDoing=${isDoing} recalculate=${recalculate} />`}`;
}

function Verdict({ found: { products, drift, at } }) {
  const which = products === 1 ? 'one product' : `${number(products)} products`;
  const verdict =
    drift.length === 0
      ? 'Every count is what holds and orders come to.'
      : `${number(drift.length)} of ${which} ${drift.length === 1 ? 'is' : 'are'} off.`;
  return html`<div class=${`notice ${drift.length === 0 ? 'good' : 'bad'}`} data-drift=${drift.length}><p><strong>${verdict}</strong> ${drift.length === 0 ? `Counted ${which}` : 'Counted'} at ${at.toLocaleTimeString()}.</p></div>`;
}

const Findings = ({ drift, isDoing, recalculate }) => html`<h2>What is off</h2>
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
        ? html`<div class="actions tight"><button disabled=${isDoing} onClick=${recalculate(one)}>Recalculate</button></div>`
        : html`<p class="small quiet">No count can mend this: see the audit of the product.</p>`
    }
  </article></li>`,
  )}</ul>
  <p class="small quiet after">Recalculating goes through the log: a worker counts once more when its turn has come. Where more was promised than there is, units are added so that every promise is kept.</p>`;
