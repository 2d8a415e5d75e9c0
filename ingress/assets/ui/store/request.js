// A place in line: asked for again when the server says so, until there is an answer.
import { call } from '../shared/api.js';
import { number } from '../shared/format.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { go } from './address.js';
import { endAttempt, rememberHold } from './memory.js';
import { Refusal, Title } from './parts.js';

export function Request({ url, product }) {
  const [position, setPosition] = useState(null);
  const [problem, setProblem] = useState(null);
  useEffect(() => {
    let timer;
    let isOver = false;
    const answered = ({ status, body }) => {
      endAttempt(product);
      if (status === 201) {
        rememberHold(body.hold_id);
        go(`/?hold=${body.hold_id}`, { replace: true });
      } else {
        setProblem(body);
      }
    };
    const look = async () => {
      let wait = 1000;
      try {
        const { document, retryAfter } = await call('GET', url);
        if (isOver) return;
        if (document.status === 'done') return answered(document.response);
        setPosition(document.position);
        wait = retryAfter;
      } catch (error) {
        if (error.status === 404) {
          endAttempt(product);
          return setProblem(error.problem);
        }
      }
      if (!isOver) timer = setTimeout(look, wait);
    };
    // The address is anybody's to write: only the API's own is asked.
    if (url?.startsWith('/api/requests/')) look();
    else setProblem({ code: 'request_not_found' });
    return () => {
      isOver = true;
      clearTimeout(timer);
    };
  }, [url]);
  const back = html`<p><a href=${`/?product=${Number(product)}`}>Back to the product</a></p>`;
  if (problem) return html`<${Title} name="No hold" /><${Refusal} problem=${problem} />${back}`;
  return html`<${Title} name="You are in line" />
    <p class="quiet">You don’t have to do anything. Reloading this page doesn’t lose your place.</p>
    <div class="card" role="status">
      <p class="clock">${position === null ? '…' : position === 0 ? 'Next' : number(position)}</p>
      <p class="quiet">${position === 0 ? 'Nobody is ahead of you in the log.' : 'ahead of you in the log'}</p>
    </div>`;
}
