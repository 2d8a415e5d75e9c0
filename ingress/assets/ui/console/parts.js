// What several views show.
import { shortTime, time } from '../shared/format.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { inWords } from '../shared/words.js';

const LOOK_MS = 2000;

/** Something read again and again; `look` reads it at once. A failed read leaves what was there. */
export function useReading(ask, every = LOOK_MS) {
  const [state, setState] = useState({ value: null, problem: null });
  const look = async () => {
    try {
      setState({ value: await ask(), problem: null });
    } catch (error) {
      setState((now) => ({ ...now, problem: error.problem ?? { code: 'unreachable' } }));
    }
  };
  useEffect(() => {
    let timer;
    let isOver = false;
    const again = async () => {
      if (!document.hidden) await look();
      if (!isOver) timer = setTimeout(again, every);
    };
    look().then(again);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  return { ...state, look };
}

/** What an operator does: what was said of it last, and a way to do the next thing. */
export function useDoing(look) {
  const [isDoing, setDoing] = useState(false);
  const [said, setSaid] = useState(null);
  const run = async (done, work) => {
    setDoing(true);
    setSaid(null);
    try {
      await work();
      setSaid({ done });
    } catch (error) {
      setSaid({ problem: error.problem ?? { code: 'unreachable' } });
    }
    setDoing(false);
    await look();
  };
  return { isDoing, said, run };
}

export const Said = ({ said }) =>
  html`<div role="status">${(said?.done || said?.problem) && html`<div class=${`notice ${said.problem ? 'bad' : ''}`}><p>${said.problem ? inWords(said.problem) : said.done}</p></div>`}</div>`;

/** An order's name in a table, which leads to all that ever changed of it. */
export const OrderName = ({ of }) =>
  html`<a href=${`#audit?order_id=${of.order_id}`} title="Its changes"><code>${of.order_reference}</code></a>`;

/** A time in a table, in full where one points at it. */
export const At = ({ at }) => (at ? html`<time datetime=${at} title=${time(at)}>${shortTime(at)}</time>` : '–');

/** Names each cell for its column, for where rows are stacked. */
const labelled = (row, head) => {
  for (const [index, cell] of [row.props.children].flat().entries()) if (cell?.props) cell.props['data-label'] = head[index];
  return row;
};

/** A table of what waits, or a sentence when nothing does. `numbers` says which columns are. */
export function Rows({ rows, name, none, head, numbers = [], children }) {
  if (rows === null || rows === undefined) return html`<p class="quiet">…</p>`;
  if (rows.length === 0) return html`<p class="quiet">${none}</p>`;
  return html`<div class="card scroll" tabindex="0" role="region" aria-label=${name}>
    <table class="stack">
      <thead><tr>${head.map((one, index) => html`<th scope="col" class=${numbers.includes(index) ? 'number' : undefined}>${one || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => labelled(children(row), head))}</tbody>
    </table>
  </div>`;
}
