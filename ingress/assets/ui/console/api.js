// Calls the administration API with the session's cookie. Changes carry a header that pages of other sites can't send.
import { call, ProblemError } from '../shared/api.js';

const HEADERS = { 'x-holdfast-console': '1' };

async function adminCall(pending) {
  try {
    const { status, document } = await pending;
    // The command is in the log, but no worker has applied it yet. So it must not be shown as done.
    if (status === 202) throw new ProblemError({ code: 'queued' }, status);
    return document;
  } catch (error) {
    // The session has ended. The sign-in page has the same address.
    if (error.status === 401) location.reload();
    throw error;
  }
}

export const read = (path) => adminCall(call('GET', `/api/admin/${path}`));
export const change = (method, path, body) => adminCall(call(method, `/api/admin/${path}`, body, HEADERS));
export const signOut = () => call('DELETE', '/console/session', undefined, HEADERS);

/** The timeout for reading metrics: a server that hangs counts as down. */
const METRICS_WAIT_MS = 5000;

/** Reads `/metrics` (Prometheus's text format), and returns samples by the metric's name. */
export async function metrics() {
  const response = await fetch('/metrics', { cache: 'no-store', signal: AbortSignal.timeout(METRICS_WAIT_MS) });
  if (!response.ok) throw new ProblemError({ code: 'unreachable' }, response.status);
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
