// The audit trail: all changes of state, or those of one product, hold or order, oldest first.
import { html, useEffect, useMemo, useRef, useState } from '../../shared/ui.js';
import { problemText } from '../../shared/problems.js';
import { read } from '../api.js';
import { At, Rows } from '../parts.js';

const FILTERS = [
  ['', 'All changes'],
  ['product_id', 'Product number'],
  ['hold_id', 'Hold id'],
  ['order_id', 'Order id or reference'],
];

/** The filter in the address: links from other views have one. */
function filterOfAddress() {
  const query = new URLSearchParams(location.hash.split('?')[1]);
  return FILTERS.map(([name]) => [name, query.get(name)]).find(([name, value]) => name && value) ?? ['', ''];
}

const states = (...sides) =>
  sides
    .map((side) => side?.state?.replaceAll('_', ' '))
    .filter(Boolean)
    .join(' → ');

export function Audit() {
  const form = useRef(null);
  const [filter, value] = useMemo(filterOfAddress, []);
  const [page, setPage] = useState({ entries: null });
  const [problem, setProblem] = useState(null);
  const load = async (after) => {
    const [filter, value] = ['filter', 'value'].map((name) => form.current.elements[name].value.trim());
    const query = new URLSearchParams({ limit: '50', ...(filter && value ? { [filter]: value } : {}), ...(after ? { after } : {}) });
    try {
      const next = await read(`audit?${query}`);
      setProblem(null);
      setPage((current) => ({ ...next, entries: after ? [...current.entries, ...next.entries] : next.entries }));
    } catch (error) {
      setPage({ entries: [] });
      setProblem(
        error.status === 404 ? { detail: 'The audit trail is turned off on this server.' } : (error.problem ?? { code: 'unreachable' }),
      );
    }
  };
  useEffect(() => {
    load();
  }, []);
  return html`<form class="actions tight" ref=${form} onSubmit=${(event) => {
    event.preventDefault();
    load();
  }}>
      <div><label for="filter">Filter</label><select id="filter" name="filter">${FILTERS.map(([name, label]) => html`<option value=${name} selected=${name === filter}>${label}</option>`)}</select></div>
      <div><label for="value">Number or id</label><input id="value" name="value" defaultValue=${value} /></div>
      <button>Show</button>
    </form>
    <div role="alert">${problem && html`<div class="notice bad"><p>${problemText(problem)}</p></div>`}</div>
    ${
      !problem &&
      html`<h2>Changes</h2><${Rows} name="Changes" rows=${page.entries} none="There are no changes." head=${['Time', 'Change', 'Actor', 'Product', 'Units', 'State']} numbers=${[3, 4]}>
      ${(entry) => html`<tr key=${entry.id}>
        <td><${At} at=${entry.at} /></td>
        <td>${entry.what}${entry.reason ? ` (${entry.reason.replaceAll('_', ' ')})` : ''}${entry.hold_id && html`<br /><code class="quiet">${entry.hold_id}</code>`}</td>
        <td>${entry.actor.replaceAll('_', ' ')}</td>
        <td class="number">${entry.product_id ?? '–'}</td>
        <td class="number">${entry.quantity ?? '–'}</td>
        <td>${states(entry.before, entry.after)}</td>
      </tr>`}
    <//>`
    }
    ${page.next && html`<div class="actions"><button onClick=${() => load(page.next)}>More</button></div>`}`;
}
