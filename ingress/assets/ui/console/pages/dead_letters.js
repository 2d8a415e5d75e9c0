// Dead letters: commands that could not be applied, with buttons to show, retry or drop each.
import { Cut, html, useState } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { At, Rows, ResultNotice, useAction, useReading } from '../parts.js';

const fetchValue = () => read('dead-letters?limit=200');

export function DeadLetters() {
  const { value, refresh } = useReading(fetchValue);
  const { isRunning, result, run } = useAction(refresh);
  const [details, setDetails] = useState(null);
  const settle = (letter, how, done) => () => run(done, () => change('POST', `dead-letters/${letter.id}/${how}`, {}));
  const show = (letter) => () => read(`dead-letters/${letter.id}`).then(setDetails, () => refresh());
  return html`<p class="quiet">A command that fails repeatedly is set aside as a dead letter, so that its partition can continue. Remove the cause, then retry it. Or drop it: then it never takes effect.</p>
    <${ResultNotice} result=${result} />
    <${Rows} name="Dead letters" rows=${value?.dead_letters} none="There are no dead letters." head=${['Number', 'Command', 'Error', 'Attempts', 'Last attempt', '']} numbers=${[3]}>
      ${(letter) => html`<tr key=${letter.id} data-letter=${letter.id}>
        <td>${letter.id}</td><td>${letter.action.replaceAll('_', ' ')}</td><td>${letter.error}</td><td class="number">${letter.tries}</td><td><${At} at=${letter.failed_at} /></td>
        <td><div class="actions tight">
          <button class="slight" onClick=${show(letter)}>Show</button>
          <button class="slight" disabled=${isRunning} onClick=${settle(letter, 'retry', `Dead letter ${letter.id} was applied.`)}>Retry</button>
          <button class="slight" disabled=${isRunning} onClick=${settle(letter, 'drop', `Dead letter ${letter.id} was dropped.`)}>Drop</button>
        </div></td>
      </tr>`}
    <//>
    <${Cut} page=${value} rows=${value?.dead_letters} />
    ${details && html`<h2>Dead letter ${details.id}</h2><pre tabindex="0" aria-label="The command"><code>${JSON.stringify(details, null, 2)}</code></pre>`}`;
}
