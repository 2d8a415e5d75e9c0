// The server's time. Holds end by it, so this machine's clock alone must never decide what is shown.
import { useEffect, useState } from './ui.js';

// What has to be added to our clock is between these, in milliseconds. Each response narrows them: its Date is cut to the
// second, and was written after we asked and before we heard.
let least = -Infinity;
let most = Infinity;

export function learn(date, asked, heard) {
  const told = Date.parse(date);
  if (Number.isNaN(told)) return;
  const low = told - heard;
  const high = told + 1000 - asked;
  least = Math.max(least, low);
  most = Math.min(most, high);
  // One of the clocks was set: what was known before is worth nothing.
  if (least > most) [least, most] = [low, high];
}

export const serverNow = () => Date.now() + (Number.isFinite(least) ? (least + most) / 2 : 0);

/** Milliseconds until a time, and again and again; negative when it has passed. */
export function useTimeLeft(until) {
  const [left, setLeft] = useState(() => Date.parse(until) - serverNow());
  useEffect(() => {
    const look = () => setLeft(Date.parse(until) - serverNow());
    look();
    const timer = setInterval(look, 200);
    return () => clearInterval(timer);
  }, [until]);
  return left;
}
