// Payments without an order: unmatched ones, and parked ones that wait for their order.
import { money } from '../../shared/format.js';
import { Cut, html } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { At, OrderName, Rows, ResultNotice, useAction, useReading } from '../parts.js';

const fetchValue = async () => {
  const [unmatched, parked] = await Promise.all([read('payments?state=unmatched&limit=200'), read('payments?state=parked&limit=200')]);
  return { unmatched, parked };
};

export function Payments() {
  const { value, refresh } = useReading(fetchValue);
  const { isRunning, result, run } = useAction(refresh);
  const resolve = (payment) => () =>
    run('The payment is recorded as refunded.', () =>
      change('POST', 'refunds/resolve', { order_id: payment.order_id, payment_id: payment.payment_id }),
    );
  const actions = (payment) => html`<button class="slight" disabled=${isRunning} onClick=${resolve(payment)}>Mark as refunded</button>`;
  return html`<h2>Unmatched</h2>
    <p class="quiet">No order has matched these payments for a day. They are never deleted. Find the customer at the payment provider, and refund the payment there. Then press Mark as refunded.</p>
    <${ResultNotice} result=${result} />
    <${List} name="Unmatched payments" page=${value?.unmatched} actions=${actions} none="There are no unmatched payments." />
    <h2>Parked</h2>
    <p class="quiet">These payments arrived before their order. They are applied when it is created.</p>
    <${List} name="Parked payments" page=${value?.parked} none="There are no parked payments." />`;
}

const HEAD = ['Payment', 'Order', 'Status', 'Amount', 'Received'];

const List = ({
  name,
  page,
  none,
  actions,
}) => html`<${Rows} name=${name} rows=${page?.payments} none=${none} head=${actions ? [...HEAD, ''] : HEAD} numbers=${[3]}>
  ${(payment) => html`<tr key=${payment.payment_id + payment.order_id}>
    <td><code>${payment.payment_id}</code></td>
    <td><${OrderName} of=${payment} /></td>
    <td>${payment.status}</td>
    <td class="number">${payment.currency ? money(payment.amount_minor, payment.currency) : '–'}</td>
    <td><${At} at=${payment.received_at} /></td>
    ${actions && html`<td>${actions(payment)}</td>`}
  </tr>`}
<//>
<${Cut} page=${page} rows=${page?.payments} />`;
