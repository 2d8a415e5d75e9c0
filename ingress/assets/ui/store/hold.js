// A hold: the time left by the server's clock, and buttons to order it or release it.
import { call, get, post } from '../shared/api.js';
import { useTimeLeft } from '../shared/clock.js';
import { duration, money, number, units } from '../shared/format.js';
import { useProduct } from '../shared/stock.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { problemText } from '../shared/problems.js';
import { go } from './address.js';
import { forgetHold, rememberHold, rememberWebhooks } from './memory.js';
import { ProblemNotice, Title, useAction } from './parts.js';

/** Screen readers read out the time left only at these seconds. */
const ANNOUNCED_SECONDS = [60, 30, 10];
const SOON_MS = 15_000;
/** The hold is read again this long after its expiry, because the server's clock is only estimated. */
const READ_AFTER_EXPIRY_MS = 400;

export function Hold({ id }) {
  const [hold, setHold] = useState(null);
  const [problem, setProblem] = useState(null);
  const read = () => get(`/api/holds/${encodeURIComponent(id)}`).then(setHold, (error) => setProblem(error.problem));
  useEffect(() => {
    read();
  }, [id]);
  useEffect(() => {
    // An order has the id of its hold.
    if (hold?.status === 'consumed') go(`/?order=${id}`, { replace: true });
    if (hold?.status === 'active') rememberHold(id);
    else if (hold) forgetHold(id);
  }, [hold]);
  if (problem) return html`<${Title} name="Hold not found" /><${ProblemNotice} problem=${problem} /><p><a href="/">All products</a></p>`;
  if (!hold || hold.status === 'consumed') return html`<${Title} name="Your hold">…<//>`;
  if (hold.status !== 'active') return html`<${Ended} hold=${hold} />`;
  return html`<${Active} hold=${hold} read=${read} />`;
}

function Ended({ hold }) {
  const title = hold.status === 'expired' ? 'Your hold has expired' : 'You released your hold';
  return html`<${Title} name=${title} />
    <div role="alert"><p>${problemText({ code: `hold_${hold.status}` })}</p></div>
    <p><a class="button" href=${`/?product=${hold.product_id}`}>Back to the product</a></p>`;
}

function Active({ hold, read }) {
  const id = hold.hold_id;
  const { product } = useProduct(hold.product_id);
  const left = useTimeLeft(hold.expires_at);
  const { running, problem, run } = useAction();
  useEffect(() => {
    if (left < -READ_AFTER_EXPIRY_MS) read();
  }, [Math.floor(left / 1000) < 0 ? Math.floor(left / 1000) : 0]);
  const order = async () => {
    await call('POST', '/api/orders', { hold_id: id }, { 'idempotency-key': `order-${id}` });
    go(`/?order=${id}`);
  };
  const seconds = Math.ceil(left / 1000);
  const announced = ANNOUNCED_SECONDS.find((at) => seconds <= at && seconds > at - 2);
  const share = Math.max(0, Math.min(1, left / (hold.reserved_for_seconds * 1000)));
  const act = (name, action) => () => run(name, async () => action()).finally(read);
  return html`<${Title} name="Held for you" />
    <div class="two">
      <section class="card" aria-label="Time left">
        <p class=${`clock ${left < SOON_MS ? 'soon' : ''}`} role="timer" aria-label="Time left">${duration(left)}</p>
        <div class="drain" aria-hidden="true"><span style=${{ width: `${100 * share}%` }}></span></div>
        <p class="unseen" role="status">${announced ? `${announced} seconds left` : ''}</p>
        <dl class="facts">
          <dt>Product</dt><dd>${product ? html`<a href=${`/?product=${product.id}`}>${product.name}</a>` : '…'}</dd>
          <dt>Quantity</dt><dd>${units(hold.quantity)}</dd>
          <dt>To pay</dt><dd>${product ? money(product.price_minor * hold.quantity, product.currency) : '…'}</dd>
          <dt>Sequence</dt><dd>hold number ${number(hold.sequence)} of this sale</dd>
        </dl>
      </section>
      <section class="card" aria-labelledby="next">
        <h2 id="next">Next step</h2>
        <p class="quiet">Order now and pay on the next page, or release the units for other shoppers.</p>
        <div class="actions">
          <button class="main" disabled=${running !== null} onClick=${act('order', order)}>Order</button>
          <button disabled=${running !== null} onClick=${act('release', () => call('DELETE', `/api/holds/${id}`))}>Release</button>
        </div>
        <${ProblemNotice} problem=${problem} />
        <details>
          <summary>Test a payment before its order</summary>
          <p class="small quiet">A provider’s webhook may arrive before the order exists. Holdfast parks the payment, and the order is paid as soon as it is created.</p>
          <button class="slight" disabled=${running !== null} onClick=${act('early', async () => {
            const { webhooks } = await post('/demo/payments', { order_id: id, kind: 'webhook_before_order' });
            rememberWebhooks(id, webhooks);
            await order();
          })}>Send the webhook, then order</button>
        </details>
      </section>
    </div>`;
}
