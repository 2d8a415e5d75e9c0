// A hold: its time running down by the server's clock, and what can be done with it meanwhile.
import { call, get, post } from '../shared/api.js';
import { useTimeLeft } from '../shared/clock.js';
import { duration, money, number, units } from '../shared/format.js';
import { useProduct } from '../shared/stock.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { inWords } from '../shared/words.js';
import { go } from './address.js';
import { forgetHold, rememberHold, rememberWebhooks } from './memory.js';
import { Refusal, Title, useDoing } from './parts.js';

/** When the rest is read out, in seconds: all the time would be a nuisance. */
const READ_OUT = [60, 30, 10];
const SOON_MS = 15_000;
/** How long after its end a hold is looked at: the server's clock is known to some milliseconds only. */
const AFTER_MS = 400;

export function Hold({ id }) {
  const [hold, setHold] = useState(null);
  const [problem, setProblem] = useState(null);
  const look = () => get(`/api/holds/${encodeURIComponent(id)}`).then(setHold, (error) => setProblem(error.problem));
  useEffect(() => {
    look();
  }, [id]);
  useEffect(() => {
    // An order has the id of its hold.
    if (hold?.status === 'consumed') go(`/?order=${id}`, { replace: true });
    if (hold?.status === 'active') rememberHold(id);
    else if (hold) forgetHold(id);
  }, [hold]);
  if (problem) return html`<${Title} name="No hold" /><${Refusal} problem=${problem} /><p><a href="/">All products</a></p>`;
  if (!hold || hold.status === 'consumed') return html`<${Title} name="Your hold">…<//>`;
  if (hold.status !== 'active') return html`<${Ended} hold=${hold} />`;
  return html`<${Active} hold=${hold} look=${look} />`;
}

function Ended({ hold }) {
  const has = hold.status === 'expired' ? 'Your hold ran out' : 'You gave your hold back';
  return html`<${Title} name=${has} />
    <div role="alert"><p>${inWords({ code: `hold_${hold.status}` })}</p></div>
    <p><a class="button" href=${`/?product=${hold.product_id}`}>Back to the product</a></p>`;
}

function Active({ hold, look }) {
  const id = hold.hold_id;
  const { product } = useProduct(hold.product_id);
  const left = useTimeLeft(hold.expires_at);
  const { doing, problem, run } = useDoing();
  useEffect(() => {
    if (left < -AFTER_MS) look();
  }, [Math.floor(left / 1000) < 0 ? Math.floor(left / 1000) : 0]);
  const order = async () => {
    await call('POST', '/api/orders', { hold_id: id }, { 'idempotency-key': `order-${id}` });
    go(`/?order=${id}`);
  };
  const seconds = Math.ceil(left / 1000);
  const readOut = READ_OUT.find((at) => seconds <= at && seconds > at - 2);
  const share = Math.max(0, Math.min(1, left / (hold.reserved_for_seconds * 1000)));
  const act = (what, work) => () => run(what, async () => work()).finally(look);
  return html`<${Title} name="Held for you" />
    <div class="two">
      <section class="card" aria-label="Time left">
        <p class=${`clock ${left < SOON_MS ? 'soon' : ''}`} role="timer" aria-label="Time left">${duration(left)}</p>
        <div class="drain" aria-hidden="true"><span style=${{ width: `${100 * share}%` }}></span></div>
        <p class="unseen" role="status">${readOut ? `${readOut} seconds left` : ''}</p>
        <dl class="facts">
          <dt>Product</dt><dd>${product ? html`<a href=${`/?product=${product.id}`}>${product.name}</a>` : '…'}</dd>
          <dt>Quantity</dt><dd>${units(hold.quantity)}</dd>
          <dt>To pay</dt><dd>${product ? money(product.price_minor * hold.quantity, product.currency) : '…'}</dd>
          <dt>Your place</dt><dd>number ${number(hold.sequence)} of this sale</dd>
        </dl>
      </section>
      <section class="card" aria-labelledby="next">
        <h2 id="next">What next?</h2>
        <p class="quiet">Order it now and pay on the next page, or let somebody else have it.</p>
        <div class="actions">
          <button class="main" disabled=${doing !== null} onClick=${act('order', order)}>Order</button>
          <button disabled=${doing !== null} onClick=${act('release', () => call('DELETE', `/api/holds/${id}`))}>Give it back</button>
        </div>
        <${Refusal} problem=${problem} />
        <details>
          <summary>A payment before its order</summary>
          <p class="small quiet">Providers may be faster than the shop: the payment’s webhook comes first and is parked, and the order is paid the moment it is made.</p>
          <button class="slight" disabled=${doing !== null} onClick=${act('early', async () => {
            const { webhooks } = await post('/demo/payments', { order_id: id, kind: 'webhook_before_order' });
            rememberWebhooks(id, webhooks);
            await order();
          })}>Webhook before order</button>
        </details>
      </section>
    </div>`;
}
