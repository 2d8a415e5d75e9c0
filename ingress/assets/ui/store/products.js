// All products, with stock that is never older than a moment.
import { get } from '../shared/api.js';
import { money } from '../shared/format.js';
import { StockBar } from '../shared/stock.js';
import { Cut, html, useEffect, useState } from '../shared/ui.js';
import { Refusal, Title } from './parts.js';
import { SaleWindow } from './window.js';

// A stream for each product would take all of a browser's connections: the list is read again instead.
const LOOK_MS = 1500;

export function Products() {
  const [page, setPage] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let timer;
    let isOver = false;
    const look = async () => {
      try {
        if (!document.hidden || page === null) {
          const read = await get('/api/products?limit=200');
          if (isOver) return;
          setPage(read);
          setProblem(null);
        }
      } catch (error) {
        setProblem(error.problem ?? { code: 'unreachable' });
      }
      if (!isOver) timer = setTimeout(look, LOOK_MS);
    };
    look();
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, []);
  const products = page?.products;
  return html`<${Title} name="On sale" />
    <p class="quiet">First come, first served. A hold keeps your units while you pay; what isn’t paid for comes back.</p>
    <${Refusal} problem=${problem} />
    ${products?.length === 0 && html`<p class="card">Nothing is on sale. An operator can add a product in the <a href="/console">console</a>.</p>`}
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
