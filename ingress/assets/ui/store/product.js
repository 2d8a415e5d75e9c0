// One product: its stock as it changes, and buying some of it.
import { call } from '../shared/api.js';
import { money } from '../shared/format.js';
import { StockBar, useProduct } from '../shared/stock.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { go } from './address.js';
import { attempt, beginAttempt, customer, endAttempt, rememberHold } from './memory.js';
import { Refusal, Title, useDoing } from './parts.js';
import { SaleWindow, useWindow } from './window.js';

// After these the request may be in the log all the same, or was never one: the same key is sent again.
const KEEPS_ITS_KEY = new Set([0, 429, 503]);

/** Asks for a hold. An attempt that was begun before goes on under its key, so that nothing is held twice. */
async function buy(product, quantity) {
  const begun = attempt(product) ?? beginAttempt(product, quantity);
  const body = { product_id: Number(product), quantity: begun.quantity, customer_id: customer() };
  try {
    const { status, document } = await call('POST', '/api/holds', body, { 'idempotency-key': begun.key });
    if (status === 202) {
      go(`/?request=${encodeURIComponent(document.status_url)}&of=${product}`, { replace: true });
      return;
    }
    endAttempt(product);
    rememberHold(document.hold_id);
    go(`/?hold=${document.hold_id}`);
  } catch (error) {
    if (!KEEPS_ITS_KEY.has(error.status)) endAttempt(product);
    throw error;
  }
}

export function Product({ id }) {
  const { product, isLive, problem } = useProduct(id);
  if (problem) return html`<${Title} name="Not found" /><${Refusal} problem=${problem} /><p><a href="/">All products</a></p>`;
  if (!product) return html`<${Title} name="Product">…<//>`;
  return html`<div class="two">
    <div>
      <${Title} name=${product.name} />
      <p class="price">${money(product.price_minor, product.currency)}</p>
      <${SaleWindow} product=${product} />
      <div class="card">
        <${StockBar} product=${product} />
        <p class=${`status ${isLive ? 'live' : ''}`} role="status">${isLive ? 'Live stock' : 'Connecting …'}</p>
      </div>
    </div>
    <${Buy} product=${product} />
  </div>`;
}

function Buy({ product }) {
  const [quantity, setQuantity] = useState(String(attempt(product.id)?.quantity ?? 1));
  const units = Number.parseInt(quantity, 10) || 1;
  const { doing, problem, run } = useDoing();
  const { at } = useWindow(product);
  const ask = () => run('buy', () => buy(product.id, units));
  useEffect(() => {
    // The page was left in the middle of an attempt: it is taken up again.
    if (attempt(product.id)) ask();
  }, []);
  const most = product.max_per_customer ?? 10_000;
  const isGone = product.available_stock === 0;
  return html`<section class="card" aria-labelledby="buy">
    <h2 id="buy">Buy</h2>
    <form onSubmit=${(event) => {
      event.preventDefault();
      ask();
    }}>
      <label for="quantity">Quantity</label>
      <input class="few" id="quantity" name="quantity" type="number" inputmode="numeric" min="1" max=${most} required value=${quantity}
        onInput=${(event) => setQuantity(event.target.value)} aria-describedby="limit" />
      <p id="limit" class="small quiet">${product.max_per_customer ? `Up to ${product.max_per_customer} for each customer. ` : ''}Kept for you while you pay.</p>
      <div class="actions">
        <button class="main" disabled=${doing !== null || at !== 'open'}>
          ${doing ? 'In line …' : at === 'before' ? 'Not open yet' : at === 'after' ? 'Ended' : `Hold for ${money(product.price_minor * units, product.currency)}`}
        </button>
      </div>
    </form>
    ${isGone && at === 'open' && !problem && html`<div class="notice"><p>All units are held or sold just now. Held ones may come back.</p></div>`}
    <${Refusal} problem=${problem} />
  </section>`;
}
