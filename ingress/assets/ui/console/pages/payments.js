// Payments that belong to no order: those that wait for theirs, and those that nothing matched in a day.
import { money } from '../../shared/format.js';
import { Cut, html } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { At, OrderName, Rows, Said, useDoing, useReading } from '../parts.js';

const ask = async () => {
  const [unmatched, parked] = await Promise.all([read('payments?state=unmatched&limit=200'), read('payments?state=parked&limit=200')]);
  return { unmatched, parked };
};

export function Payments() {
  const { value, look } = useReading(ask);
  const { isDoing, said, run } = useDoing(look);
  const resolve = (payment) => () =>
    run('The money is noted as back.', () =>
      change('POST', 'refunds/resolve', { order_id: payment.order_id, payment_id: payment.payment_id }),
    );
  const actions = (payment) => html`<button class="slight" disabled=${isDoing} onClick=${resolve(payment)}>Resolve</button>`;
  return html`<h2>Unmatched</h2>
    <p class="quiet">Nothing matched these for a day. They are kept for ever: ask the provider whose they are, and pay them back there. Resolve notes that the money is back.</p>
    <${Said} said=${said} />
    <${List} name="Unmatched payments" page=${value?.unmatched} actions=${actions} none="There are none." />
    <h2>Parked</h2>
    <p class="quiet">These came before their order and are applied when it is made.</p>
    <${List} name="Parked payments" page=${value?.parked} none="There are none." />`;
}

const HEAD = ['Payment', 'For', 'Status', 'Amount', 'Received'];

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
