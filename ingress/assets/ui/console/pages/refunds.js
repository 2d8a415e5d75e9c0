// Payments whose money goes back: ask once more, or note that it is back.
import { money } from '../../shared/format.js';
import { Cut, html } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { At, OrderName, Rows, Said, useDoing, useReading } from '../parts.js';

const ask = () => read('refunds?limit=200');
const STATES = { refund_due: 'due', requested: 'asked for', refund_requested: 'asked for', refunded: 'back' };

export function Refunds() {
  const { value, look } = useReading(ask);
  const { isDoing, said, run } = useDoing(look);
  const advance = (refund, how, done) => () =>
    run(done, () => change('POST', `refunds/${how}`, { order_id: refund.order_id, payment_id: refund.payment_id }));
  return html`<p class="quiet">Where REFUND_URL is set, each is asked for by itself. Retry asks once more; resolve notes that the money is back, however it went there.</p>
    <${Said} said=${said} />
    <${Rows} name="Refunds" rows=${value?.refunds} none="No money has to go back." head=${['Payment', 'Amount', 'State', 'Why', 'Received', '']} numbers=${[1]}>
      ${(refund) => html`<tr key=${refund.payment_id + refund.order_id}>
        <td><code>${refund.payment_id}</code><br /><${OrderName} of=${refund} /></td>
        <td class="number">${refund.currency ? money(refund.amount_minor, refund.currency) : '–'}</td>
        <td><span class="badge">${STATES[refund.state] ?? refund.state}</span></td>
        <td>${(refund.refund_reason ?? '').replaceAll('_', ' ')}</td>
        <td><${At} at=${refund.received_at} /></td>
        <td><div class="actions tight">
          <button class="slight" disabled=${isDoing} onClick=${advance(refund, 'retry', 'It will be asked for once more.')}>Retry</button>
          <button class="slight" disabled=${isDoing} onClick=${advance(refund, 'resolve', 'The money is noted as back.')}>Resolve</button>
        </div></td>
      </tr>`}
    <//>
    <${Cut} page=${value} rows=${value?.refunds} />`;
}
