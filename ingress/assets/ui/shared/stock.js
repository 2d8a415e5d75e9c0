// Reads a product live by server-sent events, and shows its stock as one bar.
import { get, ProblemError } from './api.js';
import { number } from './format.js';
import { html, useEffect, useState } from './ui.js';

// A browser has few connections for one server, so a hidden tab closes its own after this time.
const HIDDEN_MS = 30_000;

/** The product (undefined before the first response), whether it is live, and the problem when the product can't be read. */
export function useProduct(id) {
  const [state, setState] = useState({ isLive: false });
  useEffect(() => {
    let source;
    let hiding;
    let isOver = false;
    const open = () => {
      source?.close();
      source = new EventSource(`/api/products/${id}/events`);
      source.addEventListener('stock', (event) => setState({ product: JSON.parse(event.data), isLive: true }));
      source.onerror = () => setState((current) => ({ ...current, isLive: false }));
    };
    const onVisibilityChange = () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(() => source?.close(), HIDDEN_MS);
      else if (source?.readyState === EventSource.CLOSED) open();
    };
    // A plain read first: it returns a problem document, which an event stream can't.
    get(`/api/products/${id}`).then(
      (product) => {
        if (isOver) return;
        setState((current) => (current.product?.version >= product.version ? current : { product, isLive: false }));
        open();
      },
      (error) => isOver || setState({ isLive: false, problem: error instanceof ProblemError ? error.problem : undefined }),
    );
    document.addEventListener('visibilitychange', onVisibilityChange);
    return () => {
      isOver = true;
      clearTimeout(hiding);
      document.removeEventListener('visibilitychange', onVisibilityChange);
      source?.close();
    };
  }, [id]);
  return state;
}

const COUNTS = [
  ['sold', 'sold_stock'],
  ['held', 'held_stock'],
  ['available', 'available_stock'],
];

export function StockBar({ product }) {
  const share = (count) => ({ width: `${product.total_stock > 0 ? (100 * count) / product.total_stock : 0}%` });
  return html`<div class="stock">
    <div class="bar" aria-hidden="true">
      ${COUNTS.map(([name, field]) => html`<span class=${name} style=${share(product[field])}></span>`)}
    </div>
    <dl class="legend">
      ${COUNTS.map(([name, field]) => html`<div class=${name}><dt>${name}</dt><dd data-stock=${name}>${number(product[field])}</dd></div>`)}
      <div class="of"><dt>of</dt><dd>${number(product.total_stock)}</dd></div>
    </dl>
  </div>`;
}
