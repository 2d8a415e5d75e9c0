// The crowd of `holdfast dev`: many simulated buyers for few units. At the end, checks of the result.
import { get, post } from '../shared/api.js';
import { number, shortTime } from '../shared/format.js';
import { StockBar, useProduct } from '../shared/stock.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { problemText } from '../shared/problems.js';
import { ProblemNotice, Title, useAction } from './parts.js';

const BUYERS = 1000;
const UNITS = 100;
const READ_INTERVAL_MS = 300;

export function Crowd() {
  const [crowd, setCrowd] = useState(null);
  const { running, problem, run } = useAction();
  const read = () =>
    get('/demo/crowd').then(
      ({ crowd }) => setCrowd(crowd),
      () => {},
    );
  const isRunning = crowd && !crowd.is_done;
  useEffect(() => {
    read();
  }, []);
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setInterval(read, READ_INTERVAL_MS);
    return () => clearInterval(timer);
  }, [isRunning]);
  const begin = () => run('begin', () => post('/demo/crowd', { buyers: BUYERS, units: UNITS })).finally(read);
  return html`<${Title} name=${`${number(BUYERS)} buyers for ${number(UNITS)} units`} />
    <p class="quiet">Within eight seconds, each buyer requests one unit. A buyer with a hold waits a moment and pays; one in ten releases the hold.</p>
    <div class="actions"><button class="main" disabled=${isRunning || running !== null} onClick=${begin}>${isRunning ? 'The crowd is buying …' : 'Start the crowd'}</button></div>
    <${ProblemNotice} problem=${problem} />
    ${crowd && crowd.product_id > 0 && html`<${CrowdProgress} crowd=${crowd} key=${crowd.product_id} />`}`;
}

function CrowdProgress({ crowd }) {
  const { product } = useProduct(crowd.product_id);
  const refused = Object.values(crowd.refused).reduce((sum, count) => sum + count, 0);
  const figures = [
    ['arrived', crowd.arrived],
    ['waiting', crowd.in_line],
    ['holds', crowd.holds],
    ['refused', refused],
    ['paid', crowd.paid],
    ['released', crowd.released],
  ];
  return html`<section class="card crowd" aria-label="The crowd">
      <dl class="figures">${figures.map(([name, count]) => html`<div><dt>${name}</dt><dd data-crowd=${name}>${number(count)}</dd></div>`)}</dl>
      ${product && html`<h2>Stock</h2><${StockBar} product=${product} />`}
      ${
        refused > 0 &&
        html`<h2>Why buyers were refused</h2>
        <dl class="facts">${Object.entries(crowd.refused).map(([code, count]) => html`<dt>${number(count)}</dt><dd>${problemText({ code, available_stock: 0 })}</dd>`)}</dl>`
      }
    </section>
    ${crowd.is_done && product && html`<${Checks} crowd=${crowd} product=${product} />`}`;
}

function Checks({ crowd, product }) {
  const { sold_stock: sold, held_stock: held, available_stock: available, total_stock: total } = product;
  const sequences = crowd.winners.map((winner) => winner.sequence);
  const isInOrder = sequences.every((sequence, index) => sequence === index + 1);
  const refused = Object.values(crowd.refused).reduce((sum, count) => sum + count, 0);
  const checks = [
    [
      sold + held + available === total,
      `${number(sold)} sold + ${number(held)} held + ${number(available)} available = ${number(total)} units`,
    ],
    [crowd.paid === sold, `${number(crowd.paid)} buyers paid, and ${number(sold)} units are sold`],
    [isInOrder, `${number(crowd.holds)} holds have the sequences 1 to ${number(crowd.holds)}: none is missing, none occurs twice`],
    [
      crowd.holds + refused + crowd.failed === crowd.buyers && crowd.failed === 0,
      `${number(crowd.buyers)} buyers each got a hold or a refusal`,
    ],
  ];
  return html`<h2>Checks of the result</h2>
    <div class="card" role="status"><ul class="proof">${checks.map(
      ([isTrue, text]) =>
        html`<li class=${isTrue ? '' : 'wrong'} data-proof=${isTrue}><span>${text}<span class="unseen">${isTrue ? ' (true)' : ' (not true)'}</span></span></li>`,
    )}</ul></div>
    <h2>Order of the holds</h2>
    <div class="card scroll winners" tabindex="0" role="region" aria-label="Order of the holds">
      <table class="few">
        <thead><tr><th scope="col">Sequence</th><th scope="col">Buyer</th><th scope="col">Held at</th><th scope="col">Result</th></tr></thead>
        <tbody>${crowd.winners.map(
          (winner) =>
            html`<tr key=${winner.sequence}><td>${winner.sequence}</td><td>number ${number(winner.buyer)}</td><td>${shortTime(winner.created_at)}</td><td>${winner.end}</td></tr>`,
        )}</tbody>
      </table>
    </div>`;
}
