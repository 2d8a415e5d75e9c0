// Shows when a sale is open, with a countdown to its start or end.
import { useTimeLeft } from '../shared/clock.js';
import { duration, time } from '../shared/format.js';
import { html } from '../shared/ui.js';

/** Whether the sale is open by the server's time (`at` is 'before', 'open' or 'after'), and the time left. */
export function useWindow(product) {
  const starts = useTimeLeft(product.sale_starts_at ?? '1970-01-01T00:00:00Z');
  const ends = useTimeLeft(product.sale_ends_at ?? '9999-01-01T00:00:00Z');
  return { at: starts > 0 ? 'before' : ends > 0 ? 'open' : 'after', starts, ends };
}

export function SaleWindow({ product }) {
  const { at, starts, ends } = useWindow(product);
  if (at === 'before') {
    return html`<p class="small"><span class="quiet">Starts in</span> <strong role="timer">${duration(starts)}</strong> <span class="quiet">(${time(product.sale_starts_at)})</span></p>`;
  }
  if (at === 'after') return html`<p class="small quiet">The sale ended at ${time(product.sale_ends_at)}.</p>`;
  if (product.sale_ends_at)
    return html`<p class="small"><span class="quiet">Ends in</span> <strong role="timer">${duration(ends)}</strong></p>`;
  return null;
}
