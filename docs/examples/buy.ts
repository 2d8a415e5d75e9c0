// Holds two units of a product and orders them. Prints the order's status and id.
// Node 22.18 or newer runs it as it is; older ones after `tsc`.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const base = process.env.HOLDFAST_URL ?? "http://127.0.0.1:8080";
const product = Number(process.env.PRODUCT_ID ?? 1);

type Answer = { status: number; document: any };

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(base + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

/** Asks until there is an answer that counts; the key makes that safe. A 202 is followed to its outcome. */
async function ask(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const keyed = { "idempotency-key": randomUUID(), ...headers };
  for (let tries = 0; tries < 60; tries++) {
    const answer = await call("POST", path, body, keyed).catch(() => undefined);
    if (answer?.status === 202) return outcome(answer.headers.get("location")!);
    if (answer && answer.status !== 429 && answer.status !== 503) return { status: answer.status, document: await answer.json() };
    await sleep(1000 * Number(answer?.headers.get("retry-after") ?? 1));
  }
  throw new Error(`no answer from ${path}`);
}

/** What became of a request that was answered 202. */
async function outcome(location: string): Promise<Answer> {
  for (let tries = 0; tries < 60; tries++) {
    const request: any = await (await call("GET", location)).json();
    if (request.status === "done") return { status: request.response.status, document: request.response.body };
    await sleep(1000);
  }
  throw new Error(`no outcome at ${location}`);
}

function created(answer: Answer): any {
  // Else it is a problem document: {"code": "insufficient_stock", …}
  if (answer.status !== 201) throw new Error(answer.document.code);
  return answer.document;
}

async function main(): Promise<void> {
  const key = { "idempotency-key": randomUUID() };
  const hold = created(await ask("/api/holds", { product_id: product, quantity: 2 }, key));
  // The same key, the same hold: nothing more is set aside.
  const again = created(await ask("/api/holds", { product_id: product, quantity: 2 }, key));
  if (again.hold_id !== hold.hold_id) throw new Error("another hold");

  const order = created(await ask("/api/orders", { hold_id: hold.hold_id }, { prefer: "respond-async" }));
  console.log(order.status, order.order_id);
}

main();
