// One product: its live stock, and the form to buy units of it.
import { call } from '../shared/api.js';
import { money } from '../shared/format.js';
import { StockBar, useProduct } from '../shared/stock.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { go } from './address.js';
import { attempt, beginAttempt, customer, endAttempt, rememberHold } from './memory.js';
import { ProblemNotice, Title, useAction } from './parts.js';
import { SaleWindow, useWindow } from './window.js';

// After these statuses, the request may be in the log or not. So the key is kept, and a repeat has no second effect.
const KEY_KEEPING_STATUSES = new Set([0, 429, 503]);

/** Requests a hold. An earlier attempt continues with its key, so that nothing is held twice. */
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
    if (!KEY_KEEPING_STATUSES.has(error.status)) endAttempt(product);
    throw error;
  }
}

export function Product({ id }) {
  const { product, isLive, problem } = useProduct(id);
  if (problem) return html`<${Title} name="Product not found" /><${ProblemNotice} problem=${problem} /><p><a href="/">All products</a></p>`;
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
  const { running, problem, run } = useAction();
  const { at } = useWindow(product);
  const submit = () => run('buy', () => buy(product.id, units));
  useEffect(() => {
    // The page was left during an attempt: continue it.
    if (attempt(product.id)) submit();
  }, []);
  const most = product.max_per_customer ?? 10_000;
  const isSoldOut = product.available_stock === 0;
  return html`<section class="card" aria-labelledby="buy">
    <h2 id="buy">Buy</h2>
    <form onSubmit=${(event) => {
      event.preventDefault();
      submit();
    }}>
      <label for="quantity">Quantity</label>
      <input class="few" id="quantity" name="quantity" type="number" inputmode="numeric" min="1" max=${most} required value=${quantity}
        onInput=${(event) => setQuantity(event.target.value)} aria-describedby="limit" />
      <p id="limit" class="small quiet">${product.max_per_customer ? `Up to ${product.max_per_customer} for each customer. ` : ''}The units are held for you while you pay.</p>
      <div class="actions">
        <button class="main" disabled=${running !== null || at !== 'open'}>
          ${running ? 'Waiting …' : at === 'before' ? 'Not started' : at === 'after' ? 'Ended' : `Hold for ${money(product.price_minor * units, product.currency)}`}
        </button>
      </div>
    </form>
    ${isSoldOut && at === 'open' && !problem && html`<div class="notice"><p>All units are held or sold at the moment. Units become available again when holds expire.</p></div>`}
    <${ProblemNotice} problem=${problem} />
  </section>`;
}
