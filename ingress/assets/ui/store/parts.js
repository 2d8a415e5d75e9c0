// What several views show.
import { html, useEffect, useState } from '../shared/ui.js';
import { inWords } from '../shared/words.js';

/** A view's heading, which is also the window's name. */
export function Title({ children, name }) {
  useEffect(() => {
    document.title = `${name} – Holdfast store`;
  }, [name]);
  return html`<h1 tabindex="-1">${children ?? name}</h1>`;
}

/** A refusal, read out as soon as it is there. */
export const Refusal = ({ problem }) =>
  html`<div role="alert" data-code=${problem?.code}>${problem && html`<div class="notice bad"><p>${inWords(problem)}</p></div>`}</div>`;

/** Something that is done by pressing a button: what is under way, and what was wrong. */
export function useDoing() {
  const [doing, setDoing] = useState(null);
  const [problem, setProblem] = useState(null);
  const run = async (what, work) => {
    setDoing(what);
    setProblem(null);
    try {
      await work();
    } catch (error) {
      if (!error.problem) throw error;
      setProblem(error.problem);
    } finally {
      setDoing(null);
    }
  };
  return { doing, problem, run };
}
