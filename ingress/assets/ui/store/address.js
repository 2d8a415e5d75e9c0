// Where we are: everything that a reload must not lose is in the address, or in this tab's storage.
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
    const look = () => setAddress(read());
    addEventListener('popstate', look);
    changed.addEventListener('change', look);
    return () => {
      removeEventListener('popstate', look);
      changed.removeEventListener('change', look);
    };
  }, []);
  return address;
}

/** Follows links within the store without loading the page again. */
export function followed(event) {
  const link = event.target.closest?.('a[href^="/?"], a[href="/"]');
  const isPlain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
  if (!link || !isPlain) return;
  event.preventDefault();
  go(link.getAttribute('href'));
}
