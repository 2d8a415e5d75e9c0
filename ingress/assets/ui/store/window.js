// When a sale is open: a countdown to its start, or to its end.
import { useTimeLeft } from '../shared/clock.js';
import { duration, time } from '../shared/format.js';
import { html } from '../shared/ui.js';

/** Whether holds are taken now, by the server's time: 'before', 'open' or 'after'. */
export function useWindow(product) {
  const starts = useTimeLeft(product.sale_starts_at ?? '1970-01-01T00:00:00Z');
  const ends = useTimeLeft(product.sale_ends_at ?? '9999-01-01T00:00:00Z');
  return { at: starts > 0 ? 'before' : ends > 0 ? 'open' : 'after', starts, ends };
}

export function SaleWindow({ product }) {
  const { at, starts, ends } = useWindow(product);
  if (at === 'before') {
    return html`<p class="small"><span class="quiet">Opens in</span> <strong role="timer">${duration(starts)}</strong> <span class="quiet">(${time(product.sale_starts_at)})</span></p>`;
  }
  if (at === 'after') return html`<p class="small quiet">This sale ended ${time(product.sale_ends_at)}.</p>`;
  if (product.sale_ends_at)
    return html`<p class="small"><span class="quiet">Open for another</span> <strong role="timer">${duration(ends)}</strong></p>`;
  return null;
}
