// The body of a function of the console's module, the rules and Prometheus's own tests of them (rules_test.yml): what each
// test expects to fire, and what the console says.
const [address, rules, tests, done] = arguments;
const number = (pattern, text) => Number(pattern.exec(text)[1]);

/** `7`, `7x3` or `0+2x3`: so many readings, each so much above the one before. */
const expanded = (values) =>
  values.split(' ').flatMap((part) => {
    const [, first, rise, times] = /^([\d.]+)(?:\+([\d.]+))?x(\d+)$/.exec(part);
    return Array.from({ length: Number(times) + 1 }, (_, index) => Number(first) + index * Number(rise ?? 0));
  });
const labelled = (text) => Object.fromEntries([...text.matchAll(/(\w+)="(.*?)"/g)].map(([, name, value]) => [name, value]));

import(address)
  .then(({ parse, wrong }) => {
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
          said: wrong(parsed, history)
            .map(({ name }) => name)
            .sort(),
        };
      });
    done({ rules: parsed.map(({ name, summary, description, severity }) => ({ name, summary, description, severity })), results });
  })
  .catch((error) => done(String(error)));
