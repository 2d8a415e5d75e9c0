// What every view is made with.
import { h, render } from '../vendor/preact.js';
import htm from '../vendor/htm.js';

export const html = htm.bind(h);
export { render };
export { useEffect, useMemo, useRef, useState } from '../vendor/hooks.js';

/** What to say below a list that is not all there is. */
export const Cut = ({ page, rows }) =>
  page?.next && html`<p class="quiet" data-cut>These are the first ${rows.length}; there are more.</p>`;
