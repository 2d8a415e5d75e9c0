// An order, and the page of a stand-in payment provider. What it sends are real webhooks, signed on the server.
import { get, post } from '../shared/api.js';
import { useTimeLeft } from '../shared/clock.js';
import { duration, money, units } from '../shared/format.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { forgetHold, rememberWebhooks, webhooks } from './memory.js';
import { Refusal, Title, useDoing } from './parts.js';

const WAYS = [
  ['pay', 'Pay', 'The payment succeeds.'],
  ['fail', 'Fail', 'The card is declined: the order is cancelled and its units are back on sale.'],
  [
    'pay_twice',
    'Pay twice',
    'The webhook comes twice, and then a second payment. The order is paid once, and the second payment’s money goes back.',
  ],
  [
    'pay_late',
    'Pay late',
    'The payment fails first, and another succeeds when the order is cancelled already. It gets units again where there are some.',
  ],
];
const RESULTS = {
  processed: 'settled the order',
  parked: 'waits for its order',
  ignored: 'changes nothing',
  reallocated: 'came late, and got units again',
  refund_due: 'its money goes back',
  mismatch: 'is not what the order costs',
  duplicate: 'was known already',
};
const STATES = {
  pending_payment: ['Waiting for your payment', ''],
  paid: ['Paid. It is yours.', 'good'],
  cancelled: ['Cancelled', 'bad'],
};
const CANCELLED = {
  payment_failed: 'The payment failed, and the units are back on sale.',
  payment_expired: 'It was not paid in time, and the units are back on sale.',
};
const REFUNDS = {
  due: 'Money goes back: the provider will be asked.',
  requested: 'Money goes back: the provider was asked.',
  refunded: 'The money is back.',
};
const LOOK_MS = 2000;

export function Order({ id }) {
  const [order, setOrder] = useState(null);
  const [problem, setProblem] = useState(null);
  const look = () => get(`/api/orders/${encodeURIComponent(id)}`).then(setOrder, (error) => setProblem(error.problem));
  useEffect(() => {
    look();
    forgetHold(id);
    // It may be paid, or run out, without this page's doing.
    const timer = setInterval(() => document.hidden || look(), LOOK_MS);
    return () => clearInterval(timer);
  }, [id]);
  if (!order && problem) return html`<${Title} name="No order" /><${Refusal} problem=${problem} /><p><a href="/">All products</a></p>`;
  if (!order) return html`<${Title} name="Your order">…<//>`;
  return html`<${Known} order=${order} look=${look} />`;
}

function Known({ order, look }) {
  const [said, tone] = STATES[order.status] ?? [order.status, ''];
  const [sent, setSent] = useState(() => webhooks(order.order_id));
  const { doing, problem, run } = useDoing();
  const pay = (kind) => () =>
    run(kind, async () => {
      const answer = await post('/demo/payments', { order_id: order.order_id, kind });
      rememberWebhooks(order.order_id, answer.webhooks);
      setSent(webhooks(order.order_id));
    }).finally(look);
  return html`<${Title} name="Your order" />
    <div class="two">
      <section class="card" aria-label="Order">
        <p role="status" data-order-status=${order.status}><span class=${`badge ${tone}`}>${said}</span></p>
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
        <h2 id="pay">Stand-in for a payment provider</h2>
        ${
          order.status === 'pending_payment'
            ? html`<dl class="ways">${WAYS.map(
                ([kind, name, what], index) => html`<div key=${kind}>
                <dt><button class=${index === 0 ? 'main' : ''} data-kind=${kind} disabled=${doing !== null} aria-describedby=${`way-${kind}`} onClick=${pay(kind)}>${name}</button></dt>
                <dd id=${`way-${kind}`} class="small quiet">${what}</dd>
              </div>`,
              )}</dl>`
            : html`<p class="quiet">This order is settled.</p>`
        }
        <${Refusal} problem=${problem} />
      </section>
    </div>
    ${sent.length > 0 && html`<${Sent} sent=${sent} />`}`;
}

const Due = ({ at }) => html`<span role="timer">${duration(useTimeLeft(at))}</span>`;

const COLUMNS = ['Payment', 'Status', 'Answer', 'Effect'];

function Sent({ sent }) {
  return html`<h2>Webhooks that were sent</h2>
    <div class="scroll card" tabindex="0" role="region" aria-label="Webhooks that were sent">
      <table class="stack">
        <thead><tr>${COLUMNS.map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
        <tbody>${sent.map(
          (one) => html`<tr>
            <td data-label=${COLUMNS[0]}><code>${one.payment_id}</code></td>
            <td data-label=${COLUMNS[1]}>${one.payment_status}</td>
            <td data-label=${COLUMNS[2]}>${one.response_status}${one.is_replayed ? ' (the same again)' : ''}</td>
            <td data-label=${COLUMNS[3]} data-result=${one.response.result}>${RESULTS[one.response.result] ?? one.response.code ?? '–'}</td>
          </tr>`,
        )}</tbody>
      </table>
    </div>`;
}
