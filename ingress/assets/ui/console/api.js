// The API's administration, by the cookie of who is signed in. Changes carry a header that other sites' pages can't send.
import { call, Refused } from '../shared/api.js';

const HEADERS = { 'x-holdfast-console': '1' };

async function signedIn(work) {
  try {
    const { status, document } = await work;
    // In the log, and no worker has done it yet: nobody is told that it is done.
    if (status === 202) throw new Refused({ code: 'queued' }, status);
    return document;
  } catch (error) {
    // The session ran out: the door is at the same address.
    if (error.status === 401) location.reload();
    throw error;
  }
}

export const read = (path) => signedIn(call('GET', `/api/admin/${path}`));
export const change = (method, path, body) => signedIn(call(method, `/api/admin/${path}`, body, HEADERS));
export const signOut = () => call('DELETE', '/console/session', undefined, HEADERS);

/** How long metrics may take, in milliseconds: a server that hangs does not answer either. */
const METRICS_WAIT_MS = 5000;

/** The numbers of `/metrics`, Prometheus's text format: samples by the metric's name. */
export async function metrics() {
  const response = await fetch('/metrics', { cache: 'no-store', signal: AbortSignal.timeout(METRICS_WAIT_MS) });
  if (!response.ok) throw new Refused({ code: 'unreachable' }, response.status);
  return parse(await response.text());
}

const SAMPLE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const LABEL = /(\w+)="((?:[^"\\]|\\.)*)"/g;

export function parse(text) {
  const samples = new Map();
  for (const line of text.split('\n')) {
    const found = line.startsWith('#') ? null : SAMPLE.exec(line);
    if (!found) continue;
    const labels = Object.fromEntries([...(found[2] ?? '').matchAll(LABEL)].map(([, name, value]) => [name, value]));
    if (!samples.has(found[1])) samples.set(found[1], []);
    samples.get(found[1]).push({ labels, value: Number(found[3]) });
  }
  return samples;
}
