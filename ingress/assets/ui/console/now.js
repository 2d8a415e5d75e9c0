// The line on top: what is wrong now and what to do, or that all is well.
import { html } from '../shared/ui.js';
import { metrics, read } from './api.js';
import { useReading } from './parts.js';

/** A command that has waited longer than this, in seconds, means that a partition does not go on. */
const WAITED_SECONDS = 5;
/** From this share on the log is nearly full. */
const LOG_SHARE = 0.8;

const most = (samples, name) =>
  samples.filter((sample) => sample.name === name).reduce((greatest, { value }) => Math.max(greatest, value), 0);

export async function findings() {
  const ready = await fetch('/readyz', { cache: 'no-store' }).then((response) => response.json());
  const found = [];
  const say = (what, doThis) => found.push({ what, doThis });
  const down = ready.down ?? [];
  for (const part of down) say(`${part} does not answer`, 'Nothing can be sold until it does. See its own log, and its address in the settings.');
  if (down.length > 0) return found;
  const [overview, letters, samples] = await Promise.all([read('overview'), read('dead-letters?limit=1'), metrics().catch(() => null)]);
  const unowned = overview.partitions.filter((partition) => !partition.owner).map(({ partition }) => partition);
  if (unowned.length > 0) {
    const which = unowned.length === overview.partitions.length ? 'No partition has a worker' : `No worker has ${unowned.length === 1 ? 'partition' : 'partitions'} ${unowned.join(', ')}`;
    say(which, 'Requests of their products wait in line and are not lost. Start holdfast-workers, or see why it stopped.');
  }
  if (samples) {
    const waited = most(samples, 'holdfast_oldest_command_seconds');
    if (waited > WAITED_SECONDS && unowned.length === 0) say(`A command has waited for ${Math.round(waited)} seconds`, 'See the workers’ log, and how busy Postgres is.');
    const [bytes, full] = [most(samples, 'holdfast_log_bytes'), most(samples, 'holdfast_log_max_bytes')];
    if (full > 0 && bytes > LOG_SHARE * full) say(`The log is ${Math.round((100 * bytes) / full)} % full`, 'When it is full, requests are refused. See that workers keep up, or raise LOG_MAX_MB.');
  }
  if (letters.dead_letters.length > 0) say('There are commands that could not be applied', html`Look at them under <a href="#dead-letters">dead letters</a>, and retry or drop each.`);
  if (overview.refunds_due > 0) say(overview.refunds_due === 1 ? 'One refund is due' : `${overview.refunds_due} refunds are due`, html`They are asked for by themselves where REFUND_URL is set; else pay them back and note it under <a href="#refunds">refunds</a>.`);
  if (overview.payments_unmatched > 0) say(overview.payments_unmatched === 1 ? 'One payment matches no order' : `${overview.payments_unmatched} payments match no order`, html`Find out whose they are: see <a href="#payments">payments</a>.`);
  return found;
}

export function Now() {
  const { value: found, problem } = useReading(findings);
  const all = problem ? [{ what: 'The server does not answer', doThis: 'This page tries again by itself.' }] : found;
  const isWell = all?.length === 0;
  return html`<section class=${`line ${isWell || !all ? '' : 'wrong'}`} aria-label="What is wrong now" data-well=${all ? isWell : undefined}>
    <div role="status">
      ${!all && html`<p class="quiet">Looking …</p>`}
      ${isWell && html`<p><strong>All is well.</strong> <span class="quiet">Every partition has a worker, and nothing waits for you.</span></p>`}
      ${all?.map(({ what, doThis }) => html`<p><strong>${what}.</strong> <span class="quiet">${doThis}</span></p>`)}
    </div>
  </section>`;
}
