// What this tab remembers beside its address: who is buying, the attempt that is under way, and the hold it led to.
const read = (storage, name) => {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
};

export function customer() {
  const known = read(localStorage, 'customer');
  if (known) return known;
  const made = `visitor-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`;
  localStorage.setItem('customer', JSON.stringify(made));
  return made;
}

/** One attempt to buy has one key, however often it has to be sent. */
export const attempt = (product) => read(sessionStorage, `attempt:${product}`);
export function beginAttempt(product, quantity) {
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const made = { key, quantity };
  sessionStorage.setItem(`attempt:${product}`, JSON.stringify(made));
  return made;
}
export const endAttempt = (product) => sessionStorage.removeItem(`attempt:${product}`);

export const currentHold = () => read(sessionStorage, 'hold');
export const rememberHold = (id) => sessionStorage.setItem('hold', JSON.stringify(id));
export const forgetHold = (id) => currentHold() === id && sessionStorage.removeItem('hold');

/** What the stand-in payment provider sent for an order. */
export const webhooks = (order) => read(sessionStorage, `webhooks:${order}`) ?? [];
export const rememberWebhooks = (order, sent) => sessionStorage.setItem(`webhooks:${order}`, JSON.stringify([...webhooks(order), ...sent]));
