// Many buyers for few units, sent by the server to itself; and at the end, the proof.
import { get, post } from '../shared/api.js';
import { number, shortTime } from '../shared/format.js';
import { StockBar, useProduct } from '../shared/stock.js';
import { html, useEffect, useState } from '../shared/ui.js';
import { inWords } from '../shared/words.js';
import { Refusal, Title, useDoing } from './parts.js';

const BUYERS = 1000;
const UNITS = 100;
const LOOK_MS = 300;

export function Crowd() {
  const [crowd, setCrowd] = useState(null);
  const { doing, problem, run } = useDoing();
  const look = () =>
    get('/demo/crowd').then(
      ({ crowd }) => setCrowd(crowd),
      () => {},
    );
  const isHere = crowd && !crowd.is_done;
  useEffect(() => {
    look();
  }, []);
  useEffect(() => {
    if (!isHere) return undefined;
    const timer = setInterval(look, LOOK_MS);
    return () => clearInterval(timer);
  }, [isHere]);
  const begin = () => run('begin', () => post('/demo/crowd', { buyers: BUYERS, units: UNITS })).finally(look);
  return html`<${Title} name=${`${number(BUYERS)} buyers for ${number(UNITS)} units`} />
    <p class="quiet">Within eight seconds each asks once for one unit. Who gets a hold thinks for a moment and pays; one in ten gives it back.</p>
    <div class="actions"><button class="main" disabled=${isHere || doing !== null} onClick=${begin}>${isHere ? 'They are buying …' : 'Let them come'}</button></div>
    <${Refusal} problem=${problem} />
    ${crowd && crowd.product_id > 0 && html`<${Coming} crowd=${crowd} key=${crowd.product_id} />`}`;
}

function Coming({ crowd }) {
  const { product } = useProduct(crowd.product_id);
  const refused = Object.values(crowd.refused).reduce((sum, count) => sum + count, 0);
  const figures = [
    ['came', crowd.arrived],
    ['in line', crowd.in_line],
    ['holds', crowd.holds],
    ['refused', refused],
    ['paid', crowd.paid],
    ['given back', crowd.released],
  ];
  return html`<section class="card crowd" aria-label="The crowd">
      <dl class="figures">${figures.map(([name, count]) => html`<div><dt>${name}</dt><dd data-crowd=${name}>${number(count)}</dd></div>`)}</dl>
      ${product && html`<h2>Stock</h2><${StockBar} product=${product} />`}
      ${
        refused > 0 &&
        html`<h2>What the others were told</h2>
        <dl class="facts">${Object.entries(crowd.refused).map(([code, count]) => html`<dt>${number(count)}</dt><dd>${inWords({ code, available_stock: 0 })}</dd>`)}</dl>`
      }
    </section>
    ${crowd.is_done && product && html`<${Proof} crowd=${crowd} product=${product} />`}`;
}

function Proof({ crowd, product }) {
  const { sold_stock: sold, held_stock: held, available_stock: available, total_stock: total } = product;
  const sequences = crowd.winners.map((winner) => winner.sequence);
  const isInOrder = sequences.every((sequence, index) => sequence === index + 1);
  const refused = Object.values(crowd.refused).reduce((sum, count) => sum + count, 0);
  const claims = [
    [
      sold + held + available === total,
      `${number(sold)} sold + ${number(held)} held + ${number(available)} available = ${number(total)} in all`,
    ],
    [crowd.paid === sold, `${number(crowd.paid)} were told that they paid, and ${number(sold)} are sold`],
    [isInOrder, `${number(crowd.holds)} holds have the places 1 to ${number(crowd.holds)} in the log, none twice, none missing`],
    [crowd.holds + refused + crowd.failed === crowd.buyers && crowd.failed === 0, `${number(crowd.buyers)} asked; each was told yes or no`],
  ];
  return html`<h2>The proof</h2>
    <div class="card" role="status"><ul class="proof">${claims.map(
      ([holds, claim]) =>
        html`<li class=${holds ? '' : 'wrong'} data-proof=${holds}><span>${claim}<span class="unseen">${holds ? ' (true)' : ' (not true)'}</span></span></li>`,
    )}</ul></div>
    <h2>Who was first</h2>
    <div class="card scroll winners" tabindex="0" role="region" aria-label="Who was first">
      <table class="few">
        <thead><tr><th scope="col">Place in the log</th><th scope="col">Buyer</th><th scope="col">Held</th><th scope="col">In the end</th></tr></thead>
        <tbody>${crowd.winners.map(
          (winner) =>
            html`<tr key=${winner.sequence}><td>${winner.sequence}</td><td>number ${number(winner.buyer)}</td><td>${shortTime(winner.created_at)}</td><td>${winner.end === 'released' ? 'given back' : winner.end}</td></tr>`,
        )}</tbody>
      </table>
    </div>`;
}
