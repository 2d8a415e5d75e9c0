// Evaluates the alert rules of deploy/prometheus/rules.yml, which is compiled into the program. Conditions and texts are
// the same as in Prometheus, but `for` is ignored: somebody is looking at the console, so it shows an alert at once.
import { compile } from './promql.js';

/** The view in which an operator can act on an alert, where there is one. */
const VIEWS = {
  HoldfastDeadLetters: 'dead-letters',
  HoldfastPaymentMismatch: 'refunds',
  HoldfastPaymentsUnmatched: 'payments',
  HoldfastRefundsDue: 'refunds',
};

/** Parses the subset of YAML that the file uses: one field a line, or `>-` and indented lines. */
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
      ({ rest, words }, [unit, size]) => ({
        rest: rest % size,
        words: rest >= size || words.length ? [...words, `${Math.floor(rest / size)} ${unit}`] : words,
      }),
      { rest: seconds, words: [] },
    );
    return [...parts.words.slice(0, 2), ...(parts.words.length < 2 ? [`${Math.round(parts.rest)} s`] : [])].join(' ');
  },
  humanize1024: (value) => {
    const power = value > 0 ? Math.min(4, Math.floor(Math.log2(value) / 10)) : 0;
    return `${rounded(Math.round((value / 1024 ** power) * 10) / 10)} ${['', 'Ki', 'Mi', 'Gi', 'Ti'][power]}`;
  },
};

/** Fills in the subset of Prometheus's templates that the rules use. */
export const fillTemplate = (text, { labels, value }) =>
  text.replace(/\{\{ \$(value|labels)(?:\.(\w+))?(?: \| (\w+))? \}\}/g, (_, of, label, format) =>
    of === 'labels' ? (labels[label] ?? '') : (FORMATS[format] ?? rounded)(value),
  );

/** The alerts that fire now, those with severity `page` first. Of several results of one rule, only the highest is shown. */
export function firingAlerts(rules, history) {
  const found = rules.flatMap((rule) => {
    const results = rule.isTrue(history).toSorted((a, b) => b.value - a.value);
    if (results.length === 0) return [];
    const more = results.length > 1 ? ` (and ${results.length - 1} more)` : '';
    const { name, severity, summary, description } = rule;
    return [
      {
        name,
        severity,
        summary: fillTemplate(summary, results[0]) + more,
        description: fillTemplate(description, results[0]),
        view: VIEWS[name],
      },
    ];
  });
  return found.toSorted((a, b) => (b.severity === 'page') - (a.severity === 'page'));
}
