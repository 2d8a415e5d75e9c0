// The line on top: what is wrong now and what to do, by the rules of the alerts; or that all is well.
import { html, useEffect, useState } from '../shared/ui.js';
import { parse, wrong } from './alerts.js';
import { useReadings } from './readings.js';

const SEVERITIES = { page: ['now', 'bad'], ticket: ['by the next working day', ''] };

/** Commands between backticks, as the rules write them. */
const marked = (text) => text.split('`').map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));

/** What is wrong; undefined until that is known. */
export function useWrong() {
  const [rules, setRules] = useState(null);
  useEffect(() => {
    fetch(new URL('./rules.yml', import.meta.url))
      .then((response) => response.text())
      .then((text) => setRules(parse(text)));
  }, []);
  return useReadings(({ history }) => (rules ? wrong(rules, history) : undefined), [rules]);
}

export function Now({ found }) {
  const isWell = found?.length === 0;
  return html`<section class=${`line ${isWell || !found ? '' : 'wrong'}`} aria-label="What is wrong now" data-well=${found ? isWell : undefined}>
    <div role="status">
      ${!found && html`<p class="quiet">Looking …</p>`}
      ${isWell && html`<p><strong>All is well.</strong> <span class="quiet">No alert fires.</span></p>`}
      ${found?.map(
        ({ name, severity, what, todo, view }) => html`<div key=${name} data-alert=${name}>
        <p><strong>${what}.</strong> <span class=${`badge ${SEVERITIES[severity]?.[1] ?? ''}`}>${SEVERITIES[severity]?.[0] ?? severity}</span></p>
        <p class="small quiet">${marked(todo)}${view && html` <a href=${`#${view}`}>See to it here</a>.`}</p>
      </div>`,
      )}
    </div>
  </section>`;
}
