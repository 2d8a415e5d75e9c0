// Refusals in plain words, by the problem's code.
import { serverNow } from './clock.js';
import { time, units } from './format.js';

const said = {
  insufficient_stock: (p) =>
    p.available_stock > 0 ? `Only ${units(p.available_stock)} left. Ask for fewer.` : 'Sold out. Units come back when holds run out.',
  purchase_limit_reached: (p) => `One customer may have ${units(p.max_per_customer)}; you have ${p.customer_units} already.`,
  sale_not_open: (p) => {
    const ended = p.sale_ends_at && Date.parse(p.sale_ends_at) <= serverNow();
    return ended ? 'The sale has ended.' : `The sale has not begun yet${p.sale_starts_at ? `: it opens ${time(p.sale_starts_at)}` : ''}.`;
  },
  product_not_found: () => 'There is no such product.',
  hold_not_found: () => 'There is no such hold.',
  hold_expired: () => 'Your hold ran out, and its units are back on sale.',
  hold_released: () => 'You gave this hold back.',
  hold_consumed: () => 'This hold has become an order.',
  order_not_found: () => 'There is no such order.',
  request_not_found: () => 'This place in line is no longer known. Ask again.',
  rate_limited: () => 'That was too often. Wait a moment and try again.',
  overloaded: () => 'Too many people are asking just now. Try again in a moment.',
  log_unavailable: () => 'The sale can’t take requests just now. Try again; you won’t be charged twice.',
  log_full: () => 'The sale can’t take requests just now. Try again later.',
  store_unavailable: () => 'This can’t be looked up just now. Try again in a moment.',
  command_failed: () => 'This could not be done. Somebody will look at it.',
  idempotency_key_reused: () => 'This purchase was begun with another quantity. Start over.',
  queued: () => 'No worker has done it yet. It waits in the log and is done as soon as one is there.',
  crowd_is_here: () => 'A crowd is here already. Watch it, or wait until it has gone.',
  dead_letter_not_found: () => 'This was settled already.',
  stock_limit_exceeded: () => 'A product can’t have that many units.',
  payment_not_found: () => 'There is no such payment of this order.',
  already_refunded: () => 'The money is back already.',
  no_refund_owed: () => 'No refund is owed for this payment.',
  unauthorized: () => 'You are signed out. Sign in again.',
  unreachable: () => 'The server can’t be reached. Trying again may help.',
  invalid_request: (p) => (p.errors ?? []).map((error) => `${error.field.replaceAll('_', ' ')} ${error.message}`).join('; ') + '.',
};

export function inWords(problem) {
  const say = said[problem?.code];
  return say ? say(problem) : (problem?.detail ?? 'Something went wrong.');
}
