// Parts that several views of the console share.
import { shortTime, time } from '../shared/format.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { problemText } from '../shared/problems.js';

const READ_INTERVAL_MS = 2000;

/** A value that `fetchValue` reads at an interval; `refresh` reads it at once. After an error, the last value stays. */
export function useReading(fetchValue, intervalMs = READ_INTERVAL_MS) {
  const [state, setState] = useState({ value: null, problem: null });
  const refresh = async () => {
    try {
      setState({ value: await fetchValue(), problem: null });
    } catch (error) {
      setState((current) => ({ ...current, problem: error.problem ?? { code: 'unreachable' } }));
    }
  };
  useEffect(() => {
    let timer;
    let isOver = false;
    const again = async () => {
      if (!document.hidden) await refresh();
      if (!isOver) timer = setTimeout(again, intervalMs);
    };
    refresh().then(again);
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  return { ...state, refresh };
}

/** Runs an operator's actions, one at a time. `result` is that of the last one. `refresh` is called after each. */
export function useAction(refresh) {
  const [isRunning, setRunning] = useState(false);
  const [result, setResult] = useState(null);
  const run = async (done, action) => {
    setRunning(true);
    setResult(null);
    try {
      await action();
      setResult({ done });
    } catch (error) {
      setResult({ problem: error.problem ?? { code: 'unreachable' } });
    }
    setRunning(false);
    await refresh();
  };
  return { isRunning, result, run };
}

export const ResultNotice = ({ result }) =>
  html`<div role="status">${(result?.done || result?.problem) && html`<div class=${`notice ${result.problem ? 'bad' : ''}`}><p>${result.problem ? problemText(result.problem) : result.done}</p></div>`}</div>`;

/** An order in a table, with a link to its changes. */
export const OrderName = ({ of }) =>
  html`<a href=${`#audit?order_id=${of.order_id}`} title="Its changes"><code>${of.order_reference}</code></a>`;

/** A time in a table, with the full time as a tooltip. */
export const At = ({ at }) => (at ? html`<time datetime=${at} title=${time(at)}>${shortTime(at)}</time>` : '–');

/** Adds the column's name to each cell, for narrow screens, where rows are stacked. */
const withLabels = (row, head) => {
  for (const [index, cell] of [row.props.children].flat().entries()) if (cell?.props) cell.props['data-label'] = head[index];
  return row;
};

/** A table, or the sentence `none` when it is empty. `numbers` has the indexes of the columns with numbers. */
export function Rows({ rows, name, none, head, numbers = [], children }) {
  if (rows === null || rows === undefined) return html`<p class="quiet">…</p>`;
  if (rows.length === 0) return html`<p class="quiet">${none}</p>`;
  return html`<div class="card scroll" tabindex="0" role="region" aria-label=${name}>
    <table class="stack">
      <thead><tr>${head.map((one, index) => html`<th scope="col" class=${numbers.includes(index) ? 'number' : undefined}>${one || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
      <tbody>${rows.map((row) => withLabels(children(row), head))}</tbody>
    </table>
  </div>`;
}
