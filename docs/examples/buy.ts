// Holds two units of a product and orders them. Prints the order's status and id.
// Node 22.18 or newer runs this file directly; older versions need `tsc`.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

const base = process.env.HOLDFAST_URL ?? "http://127.0.0.1:8080";
const product = Number(process.env.PRODUCT_ID ?? 1);

type Result = { status: number; document: any };

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(base + path, {
    method,
    headers: { "content-type": "application/json", ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

/** Sends a request, and repeats it after 429, 503 or no response. The key makes that safe. After 202, polls for the response. */
async function send(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Result> {
  const keyed = { "idempotency-key": randomUUID(), ...headers };
  for (let attempt = 0; attempt < 60; attempt++) {
    const response = await call("POST", path, body, keyed).catch(() => undefined);
    if (response?.status === 202) return outcome(response.headers.get("location")!);
    if (response && response.status !== 429 && response.status !== 503) return { status: response.status, document: await response.json() };
    await sleep(1000 * Number(response?.headers.get("retry-after") ?? 1));
  }
  throw new Error(`no response from ${path}`);
}

/** Polls for the response of a request that got 202. */
async function outcome(location: string): Promise<Result> {
  for (let attempt = 0; attempt < 60; attempt++) {
    const request: any = await (await call("GET", location)).json();
    if (request.status === "done") return { status: request.response.status, document: request.response.body };
    await sleep(1000);
  }
  throw new Error(`no outcome at ${location}`);
}

function created(response: Result): any {
  // Otherwise it is a problem document: {"code": "insufficient_stock", …}
  if (response.status !== 201) throw new Error(response.document.code);
  return response.document;
}

async function main(): Promise<void> {
  const key = { "idempotency-key": randomUUID() };
  const hold = created(await send("/api/holds", { product_id: product, quantity: 2 }, key));
  // The same key returns the same hold. No more units are held.
  const again = created(await send("/api/holds", { product_id: product, quantity: 2 }, key));
  if (again.hold_id !== hold.hold_id) throw new Error("another hold");

  const order = created(await send("/api/orders", { hold_id: hold.hold_id }, { prefer: "respond-async" }));
  console.log(order.status, order.order_id);
}

main();
