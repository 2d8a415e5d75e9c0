// Refunds: request one again, or mark it as refunded.
import { money } from '../../shared/format.js';
import { Cut, html } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { At, OrderName, Rows, ResultNotice, useAction, useReading } from '../parts.js';

const fetchValue = () => read('refunds?limit=200');
const STATES = { refund_due: 'due', requested: 'requested', refund_requested: 'requested', refunded: 'refunded' };

export function Refunds() {
  const { value, refresh } = useReading(fetchValue);
  const { isRunning, result, run } = useAction(refresh);
  const advance = (refund, how, done) => () =>
    run(done, () => change('POST', `refunds/${how}`, { order_id: refund.order_id, payment_id: refund.payment_id }));
  return html`<p class="quiet">With REFUND_URL, Holdfast requests each refund automatically. Request again repeats the request. Mark as refunded records that the customer has the money back.</p>
    <${ResultNotice} result=${result} />
    <${Rows} name="Refunds" rows=${value?.refunds} none="There are no refunds." head=${['Payment', 'Amount', 'State', 'Reason', 'Received', '']} numbers=${[1]}>
      ${(refund) => html`<tr key=${refund.payment_id + refund.order_id}>
        <td><code>${refund.payment_id}</code><br /><${OrderName} of=${refund} /></td>
        <td class="number">${refund.currency ? money(refund.amount_minor, refund.currency) : '–'}</td>
        <td><span class="badge">${STATES[refund.state] ?? refund.state}</span></td>
        <td>${(refund.refund_reason ?? '').replaceAll('_', ' ')}</td>
        <td><${At} at=${refund.received_at} /></td>
        <td><div class="actions tight">
          <button class="slight" disabled=${isRunning} onClick=${advance(refund, 'retry', 'The refund will be requested again.')}>Request again</button>
          <button class="slight" disabled=${isRunning} onClick=${advance(refund, 'resolve', 'The payment is recorded as refunded.')}>Mark as refunded</button>
        </div></td>
      </tr>`}
    <//>
    <${Cut} page=${value} rows=${value?.refunds} />`;
}
