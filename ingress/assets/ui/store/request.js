// A queued request: polled at the interval of `Retry-After` until its outcome is there.
import { call } from '../shared/api.js';
import { number } from '../shared/format.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { go } from './address.js';
import { endAttempt, rememberHold } from './memory.js';
import { ProblemNotice, Title } from './parts.js';

export function Request({ url, product }) {
  const [position, setPosition] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let timer;
    let isOver = false;
    const finish = ({ status, body }) => {
      endAttempt(product);
      if (status === 201) {
        rememberHold(body.hold_id);
        go(`/?hold=${body.hold_id}`, { replace: true });
      } else {
        setProblem(body);
      }
    };
    const poll = async () => {
      let wait = 1000;
      try {
        const { document, retryAfter } = await call('GET', url);
        if (isOver) return;
        if (document.status === 'done') return finish(document.response);
        setPosition(document.position);
        wait = retryAfter;
      } catch (error) {
        if (error.status === 404) {
          endAttempt(product);
          return setProblem(error.problem);
        }
      }
      if (!isOver) timer = setTimeout(poll, wait);
    };
    // Anybody can put a URL into this page's address, so only the API's own is requested.
    if (url?.startsWith('/api/requests/')) poll();
    else setProblem({ code: 'request_not_found' });
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [url]);
  const back = html`<p><a href=${`/?product=${Number(product)}`}>Back to the product</a></p>`;
  if (problem) return html`<${Title} name="No hold created" /><${ProblemNotice} problem=${problem} />${back}`;
  return html`<${Title} name="Your request is waiting" />
    <p class="quiet">This page updates automatically. You keep your place when you reload it.</p>
    <div class="card" role="status">
      <p class="clock">${position === null ? '…' : position === 0 ? 'Next' : number(position)}</p>
      <p class="quiet">${position === 0 ? 'No request is ahead of yours.' : 'log entries are ahead of yours'}</p>
    </div>`;
}
