// All products with their stock, read again at short intervals.
import { get } from '../shared/api.js';
import { money } from '../shared/format.js';
import { StockBar } from '../shared/stock.js';
import { Cut, html, useEffect, useState } from '../shared/ui.js';
import { ProblemNotice, Title } from './parts.js';
import { SaleWindow } from './window.js';

// One stream for each product would use all of a browser's connections, so the list is read again instead.
const READ_INTERVAL_MS = 1500;

export function Products() {
  const [page, setPage] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let timer;
    let isOver = false;
    const refresh = async () => {
      try {
        if (!document.hidden || page === null) {
          const current = await get('/api/products?limit=200');
          if (isOver) return;
          setPage(current);
          setProblem(null);
        }
      } catch (error) {
        setProblem(error.problem ?? { code: 'unreachable' });
      }
      if (!isOver) timer = setTimeout(refresh, READ_INTERVAL_MS);
    };
    refresh();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  const products = page?.products;
  return html`<${Title} name="On sale" />
    <p class="quiet">First come, first served. A hold keeps units for you while you pay. Units that are not paid in time go on sale again.</p>
    <${ProblemNotice} problem=${problem} />
    ${products?.length === 0 && html`<p class="card">There are no products yet. An operator can add one in the <a href="/console">console</a>.</p>`}
    <ul class="cards">
      ${products?.map(
        (product) => html`<li key=${product.id}><article class="card">
          <h2><a href=${`/?product=${product.id}`}>${product.name}</a></h2>
          <div class="price">${money(product.price_minor, product.currency)}</div>
          <${StockBar} product=${product} />
          <${SaleWindow} product=${product} />
        </article></li>`,
      )}
    </ul>
    <${Cut} page=${page} rows=${products} />`;
}
