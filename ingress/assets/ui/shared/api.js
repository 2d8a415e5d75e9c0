// Calls the HTTP API. An error response is thrown with its problem document.
import { recordServerTime } from './clock.js';

export class ProblemError extends Error {
  constructor(problem, status) {
    super(problem.code);
    this.problem = problem;
    this.status = status;
  }
}

/** `headers` may have an Idempotency-Key. Returns the document, the status, and `Retry-After` in milliseconds. */
export async function call(method, path, body, headers = {}) {
  const sentAt = Date.now();
  let response;
  let text;
  try {
    const payload = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    response = await fetch(path, { method, headers: { ...type, ...headers }, cache: 'no-store', ...payload });
    text = await response.text();
  } catch {
    throw new ProblemError({ code: 'unreachable' }, 0);
  }
  recordServerTime(response.headers.get('date'), sentAt, Date.now());
  let document = null;
  try {
    document = text === '' ? null : JSON.parse(text);
  } catch {
    document = { code: 'unreachable' };
  }
  if (!response.ok) throw new ProblemError(document ?? { code: 'unreachable' }, response.status);
  const retryAfter = Number(response.headers.get('retry-after') ?? 1) * 1000;
  return { status: response.status, document, retryAfter };
}

export const get = async (path) => (await call('GET', path)).document;
export const post = async (path, body, headers) => (await call('POST', path, body, headers)).document;
