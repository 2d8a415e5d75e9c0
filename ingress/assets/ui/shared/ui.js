// The UI library of all views: preact and htm.
import { h, render } from '../vendor/preact.js';
import htm from '../vendor/htm.js';

export const html = htm.bind(h);
export { render };
export { useEffect, useMemo, useRef, useState } from '../vendor/hooks.js';

/** The note below a list whose end is missing. */
export const Cut = ({ page, rows }) => page?.next && html`<p class="quiet" data-cut>Only the first ${rows.length} are shown.</p>`;
