// Commands that could not be applied: show, retry, drop.
import { Cut, html, useState } from '../../shared/ui.js';
import { change, read } from '../api.js';
import { At, Rows, Said, useDoing, useReading } from '../parts.js';

const ask = () => read('dead-letters?limit=200');

export function DeadLetters() {
  const { value, look } = useReading(ask);
  const { isDoing, said, run } = useDoing(look);
  const [shown, setShown] = useState(null);
  const settle = (letter, how, done) => () => run(done, () => change('POST', `dead-letters/${letter.id}/${how}`, {}));
  const show = (letter) => () => read(`dead-letters/${letter.id}`).then(setShown, () => look());
  return html`<p class="quiet">A command that fails alone, again and again, is set aside so that its partition goes on. Mend the reason, then retry it; or drop it, and its effect never happens.</p>
    <${Said} said=${said} />
    <${Rows} name="Dead letters" rows=${value?.dead_letters} none="There are none." head=${['Number', 'Command', 'Why', 'Tries', 'Last', '']} numbers=${[3]}>
      ${(letter) => html`<tr key=${letter.id} data-letter=${letter.id}>
        <td>${letter.id}</td><td>${letter.action.replaceAll('_', ' ')}</td><td>${letter.error}</td><td class="number">${letter.tries}</td><td><${At} at=${letter.failed_at} /></td>
        <td><div class="actions tight">
          <button class="slight" onClick=${show(letter)}>Show</button>
          <button class="slight" disabled=${isDoing} onClick=${settle(letter, 'retry', `Number ${letter.id} was retried, and applied.`)}>Retry</button>
          <button class="slight" disabled=${isDoing} onClick=${settle(letter, 'drop', `Number ${letter.id} was dropped.`)}>Drop</button>
        </div></td>
      </tr>`}
    <//>
    <${Cut} page=${value} rows=${value?.dead_letters} />
    ${shown && html`<h2>Number ${shown.id}</h2><pre tabindex="0" aria-label="The command"><code>${JSON.stringify(shown, null, 2)}</code></pre>`}`;
}
