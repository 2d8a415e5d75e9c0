// Calls of the HTTP API. A refusal is thrown as its problem document.
import { learn } from './clock.js';

export class Refused extends Error {
  constructor(problem, status) {
    super(problem.code);
    this.problem = problem;
    this.status = status;
  }
}

/** `headers` may have an Idempotency-Key. Gives the document, the status and when to come back, in milliseconds. */
export async function call(method, path, body, headers = {}) {
  const asked = Date.now();
  let response;
  let text;
  try {
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    const type = body === undefined ? {} : { 'content-type': 'application/json' };
    response = await fetch(path, { method, headers: { ...type, ...headers }, cache: 'no-store', ...sent });
    text = await response.text();
  } catch {
    throw new Refused({ code: 'unreachable' }, 0);
  }
  learn(response.headers.get('date'), asked, Date.now());
  let document = null;
  try {
    document = text === '' ? null : JSON.parse(text);
  } catch {
    document = { code: 'unreachable' };
  }
  if (!response.ok) throw new Refused(document ?? { code: 'unreachable' }, response.status);
  const retryAfter = Number(response.headers.get('retry-after') ?? 1) * 1000;
  return { status: response.status, document, retryAfter };
}

export const get = async (path) => (await call('GET', path)).document;
export const post = async (path, body, headers) => (await call('POST', path, body, headers)).document;
