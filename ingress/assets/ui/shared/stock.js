// A product as it is now, by server-sent events, and its stock as one bar.
import { get, Refused } from './api.js';
import { number } from './format.js';
import { html, useEffect, useState } from './ui.js';

// A browser has few connections for one server, so a tab that nobody looks at gives its own back.
const HIDDEN_MS = 30_000;

/** The product (undefined at first), whether it is live, and the problem when there is no such product. */
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
      source.onerror = () => setState((now) => ({ ...now, isLive: false }));
    };
    const turned = () => {
      clearTimeout(hiding);
      if (document.hidden) hiding = setTimeout(() => source?.close(), HIDDEN_MS);
      else if (source?.readyState === EventSource.CLOSED) open();
    };
    // A plain read first: it says why there is none, which a stream does not.
    get(`/api/products/${id}`).then(
      (product) => {
        if (isOver) return;
        setState((now) => (now.product?.version >= product.version ? now : { product, isLive: false }));
        open();
      },
      (error) => isOver || setState({ isLive: false, problem: error instanceof Refused ? error.problem : undefined }),
    );
    document.addEventListener('visibilitychange', turned);
    return () => {
      isOver = true;
      clearTimeout(hiding);
      document.removeEventListener('visibilitychange', turned);
      source?.close();
    };
  }, [id]);
  return state;
}

const PARTS = [
  ['sold', 'sold_stock'],
  ['held', 'held_stock'],
  ['available', 'available_stock'],
];

export function StockBar({ product }) {
  const share = (count) => ({ width: `${product.total_stock > 0 ? (100 * count) / product.total_stock : 0}%` });
  return html`<div class="stock">
    <div class="bar" aria-hidden="true">
      ${PARTS.map(([name, field]) => html`<span class=${name} style=${share(product[field])}></span>`)}
    </div>
    <dl class="legend">
      ${PARTS.map(([name, field]) => html`<div class=${name}><dt>${name}</dt><dd data-stock=${name}>${number(product[field])}</dd></div>`)}
      <div class="of"><dt>of</dt><dd>${number(product.total_stock)}</dd></div>
    </dl>
  </div>`;
}
