// Products: stock, price, sale times and limit of each, with forms to create, change, restock, open and close.
import { get } from '../../shared/api.js';
import { serverNow } from '../../shared/clock.js';
import { minorDigits, money, number, time } from '../../shared/format.js';
import { StockBar } from '../../shared/stock.js';
import { Cut, html, useRef, useState } from '../../shared/ui.js';
import { change } from '../api.js';
import { ResultNotice, useAction, useReading } from '../parts.js';

const fetchValue = () => get('/api/products?limit=200');

/** Converts a form's local time to RFC 3339 (null when it is empty), and back. */
const asTime = (text) => (text ? new Date(text).toISOString() : null);
function asLocal(text) {
  if (!text) return '';
  const at = new Date(text);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

const saleTimes = ({ sale_starts_at: start, sale_ends_at: end }) =>
  start && end ? `${time(start)} to ${time(end)}` : start ? `from ${time(start)}` : end ? `until ${time(end)}` : 'always';

export function Products() {
  const { value, refresh } = useReading(fetchValue);
  const { isRunning, result, run } = useAction(refresh);
  return html`<${ResultNotice} result=${result} />
    <details class="card add">
      <summary>Add a product</summary>
      <${Form} name="Add product" isRunning=${isRunning} send=${(document) => run(`${document.name} was added.`, () => change('POST', 'products', document))} isNew />
    </details>
    <ul class="cards wide">${value?.products.map((product) => html`<li key=${product.id}><${Product} product=${product} isRunning=${isRunning} run=${run} /></li>`)}</ul>
    <${Cut} page=${value} rows=${value?.products} />`;
}

function Product({ product, isRunning, run }) {
  const [quantity, setQuantity] = useState('10');
  const units = Number.parseInt(quantity, 10) || 0;
  const now = serverNow();
  const has = (text, isBefore) => text && (isBefore ? now < Date.parse(text) : now >= Date.parse(text));
  const isOpen = !has(product.sale_starts_at, true) && !has(product.sale_ends_at, false);
  const patch = (done, fields) => run(done, () => change('PATCH', `products/${product.id}`, fields));
  const toggle = () => {
    const at = new Date(serverNow()).toISOString();
    if (!isOpen) return patch(`The sale of ${product.name} is open.`, { sale_starts_at: null, sale_ends_at: null });
    // The end must be after the start, so a start in the future is removed.
    return patch(`The sale of ${product.name} is closed.`, {
      sale_ends_at: at,
      ...(has(product.sale_starts_at, true) ? { sale_starts_at: null } : {}),
    });
  };
  const restock = (event) => {
    event.preventDefault();
    run(`${product.name}: ${number(units)} units added.`, () => change('POST', `products/${product.id}/restock`, { quantity: units }));
  };
  return html`<article class="card" data-product=${product.id}>
    <h2>${product.name} <span class=${`badge ${isOpen ? 'good' : ''}`}>${isOpen ? 'open' : 'closed'}</span></h2>
    <${StockBar} product=${product} />
    <dl class="facts small">
      <dt>Number</dt><dd>${product.id}</dd>
      <dt>Price</dt><dd>${money(product.price_minor, product.currency)}</dd>
      <dt>Sale</dt><dd>${saleTimes(product)}</dd>
      <dt>Limit</dt><dd>${product.max_per_customer ? `${product.max_per_customer} for each customer` : 'none'}</dd>
    </dl>
    <form class="actions tight" onSubmit=${restock}>
      <div><label for=${`restock-${product.id}`}>Units to add</label>
      <input class="few" id=${`restock-${product.id}`} type="number" required value=${quantity} onInput=${(event) => setQuantity(event.target.value)} /></div>
      <button disabled=${isRunning || units === 0}>Restock</button>
      <button type="button" disabled=${isRunning} onClick=${toggle}>${isOpen ? 'Close the sale' : 'Open the sale'}</button>
    </form>
    <details>
      <summary>Change</summary>
      <${Form} name="Save" product=${product} isRunning=${isRunning} send=${(document) => patch(`${document.name} was changed.`, document)} />
    </details>
  </article>`;
}

function Form({ name, product, isNew, isRunning, send }) {
  const form = useRef(null);
  const id = product?.id ?? 'new';
  const submit = (event) => {
    event.preventDefault();
    const field = (key) => form.current.elements[key].value.trim();
    const currency = field('currency').toUpperCase();
    send({
      name: field('name'),
      price_minor: Math.round(Number(field('price')) * 10 ** digitsOf(currency)),
      currency,
      ...(isNew ? { total_stock: Number(field('total_stock')) } : {}),
      max_per_customer: field('max_per_customer') === '' ? null : Number(field('max_per_customer')),
      sale_starts_at: asTime(field('sale_starts_at')),
      sale_ends_at: asTime(field('sale_ends_at')),
    });
  };
  const input = (key, label, attributes) =>
    html`<div><label for=${`${key}-${id}`}>${label}</label><input id=${`${key}-${id}`} name=${key} ...${attributes} /></div>`;
  const price = product ? product.price_minor / 10 ** minorDigits(product.currency) : '';
  return html`<form ref=${form} onSubmit=${submit}>
    <fieldset>
      ${input('name', 'Name', { required: true, maxlength: 200, defaultValue: product?.name ?? '' })}
      ${input('price', 'Price', { required: true, type: 'number', min: 0, step: 'any', defaultValue: price })}
      ${input('currency', 'Currency', { required: true, pattern: '[A-Za-z]{3}', defaultValue: product?.currency ?? 'EUR' })}
      ${isNew && input('total_stock', 'Units', { required: true, type: 'number', min: 0, defaultValue: 100 })}
      ${input('max_per_customer', 'Limit for each customer', { type: 'number', min: 1, defaultValue: product?.max_per_customer ?? '' })}
      ${input('sale_starts_at', 'Start of the sale', { type: 'datetime-local', defaultValue: asLocal(product?.sale_starts_at) })}
      ${input('sale_ends_at', 'End of the sale', { type: 'datetime-local', defaultValue: asLocal(product?.sale_ends_at) })}
    </fieldset>
    <div class="actions"><button class="main" disabled=${isRunning}>${name}</button></div>
  </form>`;
}

function digitsOf(currency) {
  try {
    return minorDigits(currency);
  } catch {
    return 2;
  }
}
