// The alerts of deploy/prometheus/rules.yml, which is part of the program: the same conditions and the same words, but for
// how long a condition has to hold. Here somebody looks, so it is told at once.
import { compile } from './promql.js';

/** Where to see to it, of those for which the console has a view. */
const VIEWS = {
  HoldfastDeadLetters: 'dead-letters',
  HoldfastPaymentMismatch: 'refunds',
  HoldfastPaymentsUnmatched: 'payments',
  HoldfastRefundsDue: 'refunds',
};

/** Reads the rules as that file writes them: a field a line, or `>-` and lines that are set in. */
export function parse(text) {
  return text
    .split(/^ {6}- alert: /m)
    .slice(1)
    .map((rule) => {
      const field = (name) => {
        const [, indent, value] = new RegExp(`^( +)${name}: (.*)$`, 'm').exec(rule) ?? [];
        if (value !== '>-') return value?.replace(/^"(.*)"$/, '$1');
        const lines = rule
          .slice(rule.indexOf(`${name}: >-`))
          .split('\n')
          .slice(1);
        const end = lines.findIndex((line) => !line.startsWith(`${indent} `));
        return lines
          .slice(0, end === -1 ? lines.length : end)
          .map((line) => line.trim())
          .join(' ');
      };
      const severity = /severity: (\w+)/.exec(rule)?.[1];
      return {
        name: rule.split('\n', 1)[0],
        isTrue: compile(field('expr')),
        severity,
        summary: field('summary'),
        description: field('description'),
      };
    });
}

const rounded = (value) => (Number.isInteger(value) ? String(value) : value.toPrecision(3));
const FORMATS = {
  humanize: rounded,
  humanizeDuration: (seconds) => {
    const parts = [
      ['d', 86400],
      ['h', 3600],
      ['m', 60],
    ].reduce(
      ({ rest, said }, [unit, size]) => ({
        rest: rest % size,
        said: rest >= size || said.length ? [...said, `${Math.floor(rest / size)} ${unit}`] : said,
      }),
      { rest: seconds, said: [] },
    );
    return [...parts.said.slice(0, 2), ...(parts.said.length < 2 ? [`${Math.round(parts.rest)} s`] : [])].join(' ');
  },
  humanize1024: (value) => {
    const power = value > 0 ? Math.min(4, Math.floor(Math.log2(value) / 10)) : 0;
    return `${rounded(Math.round((value / 1024 ** power) * 10) / 10)} ${['', 'Ki', 'Mi', 'Gi', 'Ti'][power]}`;
  },
};

/** Prometheus's templates, as far as the rules use them. */
export const written = (text, { labels, value }) =>
  text.replace(/\{\{ \$(value|labels)(?:\.(\w+))?(?: \| (\w+))? \}\}/g, (_, of, label, format) =>
    of === 'labels' ? (labels[label] ?? '') : (FORMATS[format] ?? rounded)(value),
  );

/** What is wrong now, what wants somebody at once first. Of several of one kind, the worst one stands for all. */
export function wrong(rules, history) {
  const found = rules.flatMap((rule) => {
    const results = rule.isTrue(history).toSorted((a, b) => b.value - a.value);
    if (results.length === 0) return [];
    const more = results.length > 1 ? ` (and ${results.length - 1} more)` : '';
    const { name, severity, summary, description } = rule;
    return [{ name, severity, what: written(summary, results[0]) + more, todo: written(description, results[0]), view: VIEWS[name] }];
  });
  return found.toSorted((a, b) => (b.severity === 'page') - (a.severity === 'page'));
}
