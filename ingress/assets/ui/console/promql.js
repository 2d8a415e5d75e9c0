// The subset of Prometheus's query language (PromQL) that the alert rules use, evaluated over the readings of this page.
//
// A reading is { at, samples }: a time in seconds, and samples { labels, value } by the metric's name. A history is a list of
// readings, the newest last. The result of a query is a number or samples. Unlike Prometheus, a rate is not extrapolated
// beyond the readings.

const TOKEN = /\s*(?:([a-zA-Z_:][\w:]*)|(\d+(?:\.\d+)?)|"([^"]*)"|(=~|!~|!=|==|>=|<=|[-+*/(){}[\],=<>]))/y;
const UNITS = { s: 1, m: 60, h: 3600, d: 86400 };
const AGGREGATIONS = {
  sum: (values) => values.reduce((all, value) => all + value, 0),
  max: (values) => Math.max(...values),
  min: (values) => Math.min(...values),
};
const COMPARISONS = {
  '>': (a, b) => a > b,
  '<': (a, b) => a < b,
  '>=': (a, b) => a >= b,
  '<=': (a, b) => a <= b,
  '==': (a, b) => a === b,
  '!=': (a, b) => a !== b,
};
const FUNCTIONS = {
  rate: (range) => range.map(({ labels, rise, seconds }) => ({ labels, value: rise / seconds })),
  increase: (range) => range.map(({ labels, rise }) => ({ labels, value: rise })),
  histogram_quantile: (share, buckets) =>
    [...grouped(buckets, (labels) => without(labels, 'le'))].flatMap(([, { labels, members }]) => {
      const value = quantile(
        share,
        members.map((one) => [one.labels.le === '+Inf' ? Infinity : Number(one.labels.le), one.value]),
      );
      return value === null ? [] : [{ labels, value }];
    }),
};

const key = (labels) => JSON.stringify(Object.entries(labels).sort());
const without = (labels, name) => Object.fromEntries(Object.entries(labels).filter(([one]) => one !== name));

function grouped(samples, labelsOf) {
  const groups = new Map();
  for (const sample of samples) {
    const labels = labelsOf(sample.labels);
    const name = key(labels);
    if (!groups.has(name)) groups.set(name, { labels, members: [] });
    groups.get(name).members.push(sample);
  }
  return groups;
}

/** A quantile of cumulative buckets, [upper bound, count] each, by linear interpolation; null when nothing was counted. */
export function quantile(share, buckets) {
  const sorted = buckets.toSorted(([a], [b]) => a - b);
  const all = sorted.at(-1)?.[1] ?? 0;
  if (all <= 0) return null;
  const rank = share * all;
  let [below, lower] = [0, 0];
  for (const [bound, count] of sorted) {
    if (count >= rank) return bound === Infinity ? lower : lower + ((bound - lower) * (rank - below)) / Math.max(count - below, 1e-9);
    [below, lower] = [count, bound];
  }
  return lower;
}

/** Compiles a query to a function of a history. */
export function compile(query) {
  const tokens = [];
  TOKEN.lastIndex = 0;
  for (let found; TOKEN.lastIndex < query.trimEnd().length;) {
    if (!(found = TOKEN.exec(query))) throw new SyntaxError(`unknown token in ${query}`);
    tokens.push({ name: found[1], number: found[2], text: found[3], sign: found[4] });
  }
  let at = 0;
  const next = () => tokens[at++] ?? {};
  const has = (word) => (tokens[at]?.sign ?? tokens[at]?.name) === word;
  const take = (word) => has(word) && (at += 1);
  const expect = (word) => take(word) || fail();
  const fail = () => {
    throw new SyntaxError(`unexpected token ${at} in ${query}`);
  };
  const list = (end, one) => {
    const all = [];
    while (!take(end)) {
      all.push(one());
      take(',');
    }
    return all;
  };

  function and() {
    let left = comparison();
    while (take('and')) {
      const [a, b] = [left, comparison()];
      left = (history) => {
        const there = new Set(b(history).map(({ labels }) => key(labels)));
        return a(history).filter(({ labels }) => there.has(key(labels)));
      };
    }
    return left;
  }
  function comparison() {
    const left = product();
    const compare = COMPARISONS[tokens[at]?.sign];
    if (!compare) return left;
    at += 1;
    const right = product();
    return (history) => paired(left(history), right(history), (a, b) => (compare(a, b) ? a : null));
  }
  function product() {
    let left = single();
    while (take('*')) {
      const [a, b] = [left, single()];
      left = (history) => paired(a(history), b(history), (one, other) => one * other);
    }
    return left;
  }
  function single() {
    if (take('(')) {
      const inner = and();
      expect(')');
      return inner;
    }
    const { name, number } = next();
    if (number !== undefined) return () => Number(number);
    if (name === undefined) fail();
    if (AGGREGATIONS[name]) return aggregation(AGGREGATIONS[name]);
    if (FUNCTIONS[name]) {
      expect('(');
      const parts = list(')', and);
      return (history) => FUNCTIONS[name](...parts.map((part) => part(history)));
    }
    return selector(name);
  }
  function aggregation(aggregate) {
    const by = () => (take('by') ? (expect('('), list(')', () => next().name ?? fail())) : null);
    const before = by();
    expect('(');
    const [inner] = list(')', and);
    const kept = before ?? by() ?? [];
    const labelsOf = (labels) => Object.fromEntries(kept.filter((one) => one in labels).map((one) => [one, labels[one]]));
    return (history) =>
      [...grouped(inner(history), labelsOf).values()].map(({ labels, members }) => ({
        labels,
        value: aggregate(members.map(({ value }) => value)),
      }));
  }
  function selector(name) {
    const matchers = !take('{')
      ? []
      : list('}', () => {
          const [label, sign, { text }] = [next().name, next().sign, next()];
          const pattern = new RegExp(`^(?:${text})$`);
          const found = {
            '=': (value) => value === text,
            '!=': (value) => value !== text,
            '=~': (value) => pattern.test(value),
            '!~': (value) => !pattern.test(value),
          }[sign];
          return found ? (labels) => found(labels[label] ?? '') : fail();
        });
    const of = (reading) => (reading?.samples.get(name) ?? []).filter(({ labels }) => matchers.every((is) => is(labels)));
    if (!take('[')) return (history) => of(history.at(-1));
    const seconds = Number(next().number) * (UNITS[next().name] ?? fail());
    expect(']');
    return (history) =>
      ranges(
        history.filter(({ at: then }) => then >= history.at(-1).at - seconds),
        of,
      );
  }

  const compiled = and();
  return at === tokens.length ? compiled : fail();
}

/** Combines the values of both sides with equal labels; a number combines with every sample. `null` leaves a pair out. */
function paired(left, right, of) {
  const other =
    typeof right === 'number'
      ? () => right
      : (
          (map) => (labels) =>
            map.get(key(labels))
        )(new Map((right ?? []).map(({ labels, value }) => [key(labels), value])));
  if (typeof left === 'number')
    return typeof right === 'number' ? of(left, right) : right.flatMap(({ labels, value }) => result(labels, of(left, value)));
  return left.flatMap(({ labels, value }) => (other(labels) === undefined ? [] : result(labels, of(value, other(labels)))));
}
const result = (labels, value) => (value === null ? [] : [{ labels, value }]);

/** The increase of each series within some readings. A counter that falls was reset to 0. */
function ranges(readings, of) {
  const series = new Map();
  for (const reading of readings) {
    for (const { labels, value } of of(reading)) {
      const entry = series.get(key(labels));
      if (!entry) series.set(key(labels), { labels, since: reading.at, last: value, rise: 0, seconds: 0 });
      else
        Object.assign(entry, {
          rise: entry.rise + (value < entry.last ? value : value - entry.last),
          last: value,
          seconds: reading.at - entry.since,
        });
    }
  }
  return [...series.values()].filter(({ seconds }) => seconds > 0);
}
