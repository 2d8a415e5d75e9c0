// An order, and the buttons of the simulated payment provider. The server signs and sends real webhooks.
import { get, post } from '../shared/api.js';
import { useTimeLeft } from '../shared/clock.js';
import { duration, money, units } from '../shared/format.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { forgetHold, rememberWebhooks, webhooks } from './memory.js';
import { ProblemNotice, Title, useAction } from './parts.js';

const SCENARIOS = [
  ['pay', 'Pay', 'The payment succeeds.'],
  ['fail', 'Fail', 'The card is declined. The order is cancelled, and its units are on sale again.'],
  [
    'pay_twice',
    'Pay twice',
    'The webhook is sent twice, then a second payment succeeds. The order is paid once, and the second payment is refunded.',
  ],
  [
    'pay_late',
    'Pay late',
    'A payment fails, which cancels the order. Then another payment succeeds, and the order gets units again if any are left.',
  ],
];
const RESULTS = {
  processed: 'applied to the order',
  parked: 'parked until the order exists',
  ignored: 'no effect',
  reallocated: 'paid late; the order got units again',
  refund_due: 'refund due',
  mismatch: 'the amount or currency differs from the order',
  duplicate: 'duplicate; no effect',
};
const STATES = {
  pending_payment: ['Waiting for your payment', ''],
  paid: ['Paid', 'good'],
  cancelled: ['Cancelled', 'bad'],
};
const CANCELLED = {
  payment_failed: 'The payment failed. The units are on sale again.',
  payment_expired: 'The order was not paid in time. The units are on sale again.',
};
const REFUNDS = {
  due: 'Due: the provider will be asked for the refund.',
  requested: 'Requested from the provider.',
  refunded: 'Refunded.',
};
const READ_INTERVAL_MS = 2000;

export function Order({ id }) {
  const [order, setOrder] = useState(null);
  const [problem, setProblem] = useState(null);
  const read = () => get(`/api/orders/${encodeURIComponent(id)}`).then(setOrder, (error) => setProblem(error.problem));
  useEffect(() => {
    read();
    forgetHold(id);
    // A webhook may pay the order, or the time to pay may end, without an action on this page.
    const timer = setInterval(() => document.hidden || read(), READ_INTERVAL_MS);
    return () => clearInterval(timer);
  }, [id]);
  if (!order && problem)
    return html`<${Title} name="Order not found" /><${ProblemNotice} problem=${problem} /><p><a href="/">All products</a></p>`;
  if (!order) return html`<${Title} name="Your order">…<//>`;
  return html`<${OrderDetails} order=${order} read=${read} />`;
}

function OrderDetails({ order, read }) {
  const [text, tone] = STATES[order.status] ?? [order.status, ''];
  const [sent, setSent] = useState(() => webhooks(order.order_id));
  const { running, problem, run } = useAction();
  const pay = (kind) => () =>
    run(kind, async () => {
      const result = await post('/demo/payments', { order_id: order.order_id, kind });
      rememberWebhooks(order.order_id, result.webhooks);
      setSent(webhooks(order.order_id));
    }).finally(read);
  return html`<${Title} name="Your order" />
    <div class="two">
      <section class="card" aria-label="Order">
        <p role="status" data-order-status=${order.status}><span class=${`badge ${tone}`}>${text}</span></p>
        <dl class="facts">
          <dt>Amount</dt><dd class="price">${money(order.amount_minor, order.currency)}</dd>
          <dt>Quantity</dt><dd>${units(order.quantity)}</dd>
          <dt>Reference</dt><dd><code>${order.order_reference}</code></dd>
          ${order.status === 'pending_payment' && html`<dt>Pay within</dt><dd><${Due} at=${order.payment_due_at} /></dd>`}
          ${order.cancel_reason && html`<dt>Why</dt><dd>${CANCELLED[order.cancel_reason] ?? order.cancel_reason}</dd>`}
          ${REFUNDS[order.refund_status] && html`<dt>Refund</dt><dd data-refund=${order.refund_status}>${REFUNDS[order.refund_status]}</dd>`}
        </dl>
        ${order.status !== 'pending_payment' && html`<p class="actions"><a class="button" href=${`/?product=${order.product_id}`}>Back to the product</a></p>`}
      </section>
      <section class="card" aria-labelledby="pay">
        <h2 id="pay">Simulated payment provider</h2>
        ${
          order.status === 'pending_payment'
            ? html`<dl class="scenarios">${SCENARIOS.map(
                ([kind, name, description], index) => html`<div key=${kind}>
                <dt><button class=${index === 0 ? 'main' : ''} data-kind=${kind} disabled=${running !== null} aria-describedby=${`scenario-${kind}`} onClick=${pay(kind)}>${name}</button></dt>
                <dd id=${`scenario-${kind}`} class="small quiet">${description}</dd>
              </div>`,
              )}</dl>`
            : html`<p class="quiet">This order needs no payment any more.</p>`
        }
        <${ProblemNotice} problem=${problem} />
      </section>
    </div>
    ${sent.length > 0 && html`<${SentWebhooks} sent=${sent} />`}`;
}

const Due = ({ at }) => html`<span role="timer">${duration(useTimeLeft(at))}</span>`;

const COLUMNS = ['Payment', 'Status', 'Response', 'Effect'];

function SentWebhooks({ sent }) {
  return html`<h2>Sent webhooks</h2>
    <div class="scroll card" tabindex="0" role="region" aria-label="Sent webhooks">
      <table class="stack">
        <thead><tr>${COLUMNS.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${sent.map(
          (one) => html`<tr>
            <td data-label=${COLUMNS[0]}><code>${one.payment_id}</code></td>
            <td data-label=${COLUMNS[1]}>${one.payment_status}</td>
            <td data-label=${COLUMNS[2]}>${one.response_status}${one.is_replayed ? ' (replayed)' : ''}</td>
            <td data-label=${COLUMNS[3]} data-result=${one.response.result}>${RESULTS[one.response.result] ?? one.response.code ?? '–'}</td>
          </tr>`,
        )}</tbody>
      </table>
    </div>`;
}
