// The server's time, estimated. Holds expire by the server's clock, so the pages must not use this machine's clock alone.
import { useEffect, useState } from './ui.js';

// Bounds of (server's clock - this machine's clock), in milliseconds. Each response narrows them: its `Date` header is cut
// to the second, and was written after the request was sent and before the response arrived.
let offsetMin = -Infinity;
let offsetMax = Infinity;

export function recordServerTime(date, sentAt, receivedAt) {
  const serverTime = Date.parse(date);
  if (Number.isNaN(serverTime)) return;
  const low = serverTime - receivedAt;
  const high = serverTime + 1000 - sentAt;
  offsetMin = Math.max(offsetMin, low);
  offsetMax = Math.min(offsetMax, high);
  // The bounds contradict each other: one of the clocks was set. Only the newest response counts then.
  if (offsetMin > offsetMax) [offsetMin, offsetMax] = [low, high];
}

export const serverNow = () => Date.now() + (Number.isFinite(offsetMin) ? (offsetMin + offsetMax) / 2 : 0);

/** Milliseconds until a time, updated five times a second; negative when the time has passed. */
export function useTimeLeft(until) {
  const [left, setLeft] = useState(() => Date.parse(until) - serverNow());
  useEffect(() => {
    const update = () => setLeft(Date.parse(until) - serverNow());
    update();
    const timer = setInterval(update, 200);
    return () => clearInterval(timer);
  }, [until]);
  return left;
}
