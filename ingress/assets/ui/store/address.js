// Navigation. Everything that must survive a reload is in the address or in this tab's storage.
import { useEffect, useState } from '../shared/ui.js';

const changed = new EventTarget();

export function go(address, { replace = false } = {}) {
  history[replace ? 'replaceState' : 'pushState'](null, '', address);
  changed.dispatchEvent(new Event('change'));
}

export function useAddress() {
  const read = () => new URLSearchParams(location.search);
  const [address, setAddress] = useState(read);
  useEffect(() => {
    const update = () => setAddress(read());
    addEventListener('popstate', update);
    changed.addEventListener('change', update);
    return () => {
      removeEventListener('popstate', update);
      changed.removeEventListener('change', update);
    };
  }, []);
  return address;
}

/** Handles clicks on links within the store without loading the page again. */
export function followLink(event) {
  const link = event.target.closest?.('a[href^="/?"], a[href="/"]');
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain) return;
  event.preventDefault();
  go(link.getAttribute('href'));
}
