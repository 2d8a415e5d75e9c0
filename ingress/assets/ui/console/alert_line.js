// The line at the top: the alerts that fire now and what to do, or that there are none.
import { html, useEffect, useState } from '../shared/ui.js';
import { firingAlerts, parse } from './alerts.js';
import { useReadings } from './readings.js';

const SEVERITIES = { page: ['act now', 'bad'], ticket: ['act by the next working day', ''] };

/** Shows text between backticks as code. */
const withCode = (text) => text.split('`').map((part, index) => (index % 2 ? html`<code>${part}</code>` : part));

/** The alerts that fire now; undefined before the first reading. */
export function useAlerts() {
  const [rules, setRules] = useState(null);
  useEffect(() => {
    fetch(new URL('./rules.yml', import.meta.url))
      .then((response) => response.text())
      .then((text) => setRules(parse(text)));
  }, []);
  return useReadings(({ history }) => (rules ? firingAlerts(rules, history) : undefined), [rules]);
}

export function AlertLine({ alerts }) {
  const isWell = alerts?.length === 0;
  return html`<section class=${`line ${isWell || !alerts ? '' : 'wrong'}`} aria-label="Alerts" data-well=${alerts ? isWell : undefined}>
    <div role="status">
      ${!alerts && html`<p class="quiet">Reading metrics …</p>`}
      ${isWell && html`<p><strong>All is well.</strong> <span class="quiet">There are no alerts.</span></p>`}
      ${alerts?.map(
        ({ name, severity, summary, description, view }) => html`<div key=${name} data-alert=${name}>
        <p><strong>${summary}.</strong> <span class=${`badge ${SEVERITIES[severity]?.[1] ?? ''}`}>${SEVERITIES[severity]?.[0] ?? severity}</span></p>
        <p class="small quiet">${withCode(description)}${view && html` <a href=${`#${view}`}>Open the list</a>.`}</p>
      </div>`,
      )}
    </div>
  </section>`;
}
