// The operator's console. The fragment of the address selects the view.
import { html, render, useEffect, useRef, useState } from '../shared/ui.js';
import { signOut } from './api.js';
import { Audit } from './pages/audit.js';
import { DeadLetters } from './pages/dead_letters.js';
import { AlertLine, useAlerts } from './alert_line.js';
import { Overview } from './pages/overview.js';
import { Payments } from './pages/payments.js';
import { Products } from './pages/products.js';
import { start, useReadings } from './readings.js';
import { Refunds } from './pages/refunds.js';
import { Stock } from './pages/stock.js';

const VIEWS = [
  ['', 'Overview', Overview],
  ['products', 'Products', Products],
  ['stock', 'Stock', Stock],
  ['dead-letters', 'Dead letters', DeadLetters],
  ['refunds', 'Refunds', Refunds],
  ['payments', 'Payments', Payments],
  ['audit', 'Audit', Audit],
];
/** The number of items that need an operator, by view. */
function openItems({ now: { samples } }) {
  const most = (name, state) =>
    Math.max(0, ...(samples.get(name) ?? []).filter(({ labels }) => labels.state === state).map(({ value }) => value));
  return {
    'dead-letters': most('holdfast_dead_letters', undefined),
    refunds: most('holdfast_payments_open', 'refund_due'),
    payments: most('holdfast_payments_open', 'unmatched'),
  };
}
const here = () => location.hash.slice(1).split('?')[0];

function Console() {
  const [name, setName] = useState(here);
  const isFirst = useRef(true);
  useEffect(() => {
    const update = () => setName(here());
    addEventListener('hashchange', update);
    return () => removeEventListener('hashchange', update);
  }, []);
  const [, title, View] = VIEWS.find(([key]) => key === name) ?? VIEWS[0];
  const alerts = useAlerts();
  const counts = useReadings(openItems);
  const count = alerts?.length ?? 0;
  useEffect(() => {
    // The number of alerts is visible from other tabs.
    document.title = `${count > 0 ? `(${count}) ` : ''}${title} – Holdfast console`;
  }, [title, count]);
  useEffect(() => {
    document.querySelector('header [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    if (!isFirst.current) document.querySelector('main h1')?.focus();
    isFirst.current = false;
  }, [title]);
  const leave = () => signOut().finally(() => location.reload());
  return html`<header class="many">
      <a class="name" href="#">Holdfast <span>console</span></a>
      <nav aria-label="Console">
        ${VIEWS.map(([key, label]) => html`<a href=${`#${key}`} aria-current=${label === title ? 'page' : undefined} data-count=${counts?.[key] || undefined}>${label}</a>`)}
      </nav>
      <button class="slight" onClick=${leave}>Sign out</button>
    </header>
    <main>
      <${AlertLine} alerts=${alerts} />
      <h1 tabindex="-1">${title}</h1>
      <${View} key=${title} />
    </main>`;
}

start();
render(html`<${Console} />`, document.body);
