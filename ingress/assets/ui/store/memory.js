// Stored in the browser: the customer's id, the current attempt to buy with its idempotency key, and the resulting hold.
const read = (storage, name) => {
  try {
    return JSON.parse(storage.getItem(name));
  } catch {
    return null;
  }
};

export function customer() {
  const stored = read(localStorage, 'customer');
  if (stored) return stored;
  const id = `visitor-${crypto.getRandomValues(new Uint32Array(2)).join('-')}`;
  localStorage.setItem('customer', JSON.stringify(id));
  return id;
}

/** An attempt to buy keeps its idempotency key when it is sent again, so that nothing is held twice. */
export const attempt = (product) => read(sessionStorage, `attempt:${product}`);
export function beginAttempt(product, quantity) {
  const key = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const begun = { key, quantity };
  sessionStorage.setItem(`attempt:${product}`, JSON.stringify(begun));
  return begun;
}
export const endAttempt = (product) => sessionStorage.removeItem(`attempt:${product}`);

export const currentHold = () => read(sessionStorage, 'hold');
export const rememberHold = (id) => sessionStorage.setItem('hold', JSON.stringify(id));
export const forgetHold = (id) => currentHold() === id && sessionStorage.removeItem('hold');

/** The webhooks that the simulated payment provider sent for an order. */
export const webhooks = (order) => read(sessionStorage, `webhooks:${order}`) ?? [];
export const rememberWebhooks = (order, sent) => sessionStorage.setItem(`webhooks:${order}`, JSON.stringify([...webhooks(order), ...sent]));
