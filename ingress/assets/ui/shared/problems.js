// The text that a shopper or an operator sees for each problem code.
import { serverNow } from './clock.js';
import { time, units } from './format.js';

const TEXTS = {
  insufficient_stock: (p) =>
    p.available_stock > 0
      ? `Only ${units(p.available_stock)} left. Choose a smaller quantity.`
      : 'Sold out. Units become available again when holds expire.',
  purchase_limit_reached: (p) => `The limit is ${units(p.max_per_customer)} for each customer. You already have ${p.customer_units}.`,
  sale_not_open: (p) => {
    const ended = p.sale_ends_at && Date.parse(p.sale_ends_at) <= serverNow();
    return ended ? 'The sale has ended.' : `The sale has not started${p.sale_starts_at ? `. It starts at ${time(p.sale_starts_at)}` : ''}.`;
  },
  product_not_found: () => 'This product does not exist.',
  hold_not_found: () => 'This hold does not exist.',
  hold_expired: () => 'Your hold has expired. Its units are on sale again.',
  hold_released: () => 'You released this hold. Its units are on sale again.',
  hold_consumed: () => 'This hold already has an order.',
  order_not_found: () => 'This order does not exist.',
  request_not_found: () => 'This request does not exist any more. Try to buy again.',
  rate_limited: () => 'Too many requests. Wait a moment, then try again.',
  overloaded: () => 'The server is overloaded. Wait a moment, then try again.',
  log_unavailable: () => 'The server can’t accept requests at the moment. Try again: you will not be charged twice.',
  log_full: () => 'The server can’t accept requests at the moment. Try again later.',
  store_unavailable: () => 'The server can’t read its data at the moment. Wait a moment, then try again.',
  command_failed: () => 'This request failed. An operator must look at it, and it may still take effect.',
  idempotency_key_reused: () => 'This purchase was started with another quantity. Start again.',
  queued: () => 'The command is in the log. A worker applies it as soon as it can.',
  crowd_is_here: () => 'A crowd is already running. Wait until it ends.',
  dead_letter_not_found: () => 'This dead letter was already retried or dropped.',
  stock_limit_exceeded: () => 'This is more units than a product can have.',
  payment_not_found: () => 'This order has no such payment.',
  already_refunded: () => 'This payment is already refunded.',
  no_refund_owed: () => 'This payment needs no refund.',
  unauthorized: () => 'You are signed out. Sign in again.',
  unreachable: () => 'The server can’t be reached. Check your connection, then try again.',
  invalid_request: (p) => (p.errors ?? []).map((error) => `${error.field.replaceAll('_', ' ')} ${error.message}`).join('; ') + '.',
};

export function problemText(problem) {
  const text = TEXTS[problem?.code];
  return text ? text(problem) : (problem?.detail ?? 'Something went wrong. Try again.');
}
