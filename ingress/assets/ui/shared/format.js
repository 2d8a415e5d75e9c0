// Formats money, times and numbers.
const digits = (currency) => new Intl.NumberFormat('en', { style: 'currency', currency }).resolvedOptions().maximumFractionDigits;

export function money(minor, currency) {
  const places = digits(currency);
  return new Intl.NumberFormat(undefined, { style: 'currency', currency }).format(minor / 10 ** places);
}

export const minorDigits = digits;
export const number = (value) => new Intl.NumberFormat().format(value);
export const time = (text) =>
  text ? new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' }).format(new Date(text)) : '–';
const TODAY = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });
const THEN = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
/** A time without seconds, or without the date when it is today. */
export function shortTime(text) {
  const at = new Date(text);
  return (at.toDateString() === new Date().toDateString() ? TODAY : THEN).format(at);
}
export const units = (count) => (count === 1 ? '1 unit' : `${number(count)} units`);

/** A duration in milliseconds as `1:05` or `2 days 3:04:05`. */
export function duration(milliseconds) {
  const seconds = Math.max(0, Math.ceil(milliseconds / 1000));
  const two = (value) => String(value).padStart(2, '0');
  const [days, hours, minutes] = [Math.floor(seconds / 86400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  const clock = seconds < 3600 ? `${minutes}:${two(seconds % 60)}` : `${hours}:${two(minutes)}:${two(seconds % 60)}`;
  return days > 0 ? `${days} ${days === 1 ? 'day' : 'days'} ${clock}` : clock;
}
