// Parts that several views of the store share.
import { html, useEffect, useState } from '../shared/ui.js';
import { problemText } from '../shared/problems.js';

/** A view's heading, which is also the title of the window. */
export function Title({ children, name }) {
  useEffect(() => {
    document.title = `${name} – Holdfast store`;
  }, [name]);
  return html`<h1 tabindex="-1">${children ?? name}</h1>`;
}

/** A problem. Screen readers read it out at once. */
export const ProblemNotice = ({ problem }) =>
  html`<div role="alert" data-code=${problem?.code}>${problem && html`<div class="notice bad"><p>${problemText(problem)}</p></div>`}</div>`;

/** Runs the actions of buttons: `running` is the name of the current action, `problem` that of the last failed one. */
export function useAction() {
  const [running, setRunning] = useState(null);
  const [problem, setProblem] = useState(null);
  const run = async (name, action) => {
    setRunning(name);
    setProblem(null);
    try {
      await action();
    } catch (error) {
      if (!error.problem) throw error;
      setProblem(error.problem);
    } finally {
      setRunning(null);
    }
  };
  return { running, problem, run };
}
