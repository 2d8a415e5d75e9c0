// A function's body. Its arguments are the URL of the console's module, the rules, and Prometheus's tests of the rules
// (rules_test.yml). It returns, for each test, the alerts that the test expects and those that the console shows.
const [address, rules, tests, done] = arguments;
const number = (pattern, text) => Number(pattern.exec(text)[1]);

/** Expands Prometheus's notation of series: `7`, `7x3` (7 four times) or `0+2x3` (0, 2, 4, 6). */
const expanded = (values) =>
  values.split(' ').flatMap((part) => {
    const [, first, rise, times] = /^([\d.]+)(?:\+([\d.]+))?x(\d+)$/.exec(part);
    return Array.from({ length: Number(times) + 1 }, (_, index) => Number(first) + index * Number(rise ?? 0));
  });
const labelled = (text) => Object.fromEntries([...text.matchAll(/(\w+)="(.*?)"/g)].map(([, name, value]) => [name, value]));

import(address)
  .then(({ parse, firingAlerts }) => {
    const parsed = parse(rules);
    const results = tests
      .split(/^ {2}- name: /m)
      .slice(1)
      .map((test) => {
        const [step, end] = [number(/interval: (\d+)s/, test), 60 * number(/eval_time: (\d+)m/, test)];
        const series = [...test.matchAll(/series: '(\w+)\{(.*?)\}', values: "(.*?)"/g)];
        const history = Array.from({ length: end / step + 1 }, (_, index) => {
          const samples = new Map();
          for (const [, name, labels, values] of series) {
            const value = expanded(values)[index];
            if (value !== undefined) samples.set(name, [...(samples.get(name) ?? []), { labels: labelled(labels), value }]);
          }
          return { at: index * step, samples };
        });
        const expected = [...test.matchAll(/alertname="(\w+)"/g)].map(([, name]) => name);
        return {
          expected: expected.sort(),
          shown: firingAlerts(parsed, history)
            .map(({ name }) => name)
            .sort(),
        };
      });
    done({ rules: parsed.map(({ name, summary, description, severity }) => ({ name, summary, description, severity })), results });
  })
  .catch((error) => done(String(error)));
