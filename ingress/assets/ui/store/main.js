// The demo store. The address selects the view: /?product=, ?request=, ?hold=, ?order=, ?crowd, or all products.
import { html, render, useEffect, useRef } from '../shared/ui.js';
import { followLink, useAddress } from './address.js';
import { Crowd } from './crowd.js';
import { Hold } from './hold.js';
import { currentHold } from './memory.js';
import { Order } from './order.js';
import { Product } from './product.js';
import { Products } from './products.js';
import { Request } from './request.js';

/** Only `holdfast dev` has a crowd. */
const hasCrowd = document.querySelector('meta[name=has-crowd]').content === 'true';

function view(address) {
  if (address.has('product')) return html`<${Product} id=${address.get('product')} key=${address.get('product')} />`;
  if (address.has('request')) return html`<${Request} url=${address.get('request')} product=${address.get('of')} />`;
  if (address.has('hold')) return html`<${Hold} id=${address.get('hold')} key=${address.get('hold')} />`;
  if (address.has('order')) return html`<${Order} id=${address.get('order')} key=${address.get('order')} />`;
  if (hasCrowd && address.has('crowd')) return html`<${Crowd} />`;
  return html`<${Products} />`;
}

function Store() {
  const address = useAddress();
  const query = address.toString();
  const isFirst = useRef(true);
  useEffect(() => {
    // Moves the focus to the new view's beginning, for people who use a screen reader or the keyboard.
    if (!isFirst.current) document.querySelector('main h1')?.focus();
    isFirst.current = false;
  }, [query]);
  const hold = currentHold();
  const isElsewhere = hold && address.get('hold') !== hold && address.get('order') !== hold;
  const here = (name) => ({ 'aria-current': (name ? address.has(name) : query === '') ? 'page' : undefined });
  return html`<div onClick=${followLink}>
    <a class="skip" href="#content">Skip to content</a>
    <header>
      <a class="name" href="/">Holdfast <span>demo store</span></a>
      <nav aria-label="Store">
        <a href="/" ...${here('')}>Products</a>
        ${hasCrowd && html`<a href="/?crowd" ...${here('crowd')}>Crowd</a>`}
        ${isElsewhere && html`<a href=${`/?hold=${hold}`}>Your hold</a>`}
      </nav>
    </header>
    <main id="content">${view(address)}</main>
    <footer>This is a demo: no money moves. A simulated payment provider sends signed webhooks.</footer>
  </div>`;
}

render(html`<${Store} />`, document.body);
