// Pays an order as its payment provider would, and checks signatures. Prints what the payments did.
// Node 22.18 or newer runs it as it is; older ones after `tsc`.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

const base = process.env.HOLDFAST_URL ?? "http://127.0.0.1:8080";
const secret = process.env.WEBHOOK_SECRET ?? "dev-webhook-secret";
const toleranceSeconds = 300;

/** X-Webhook-Signature; the secret is used as it is. */
function hexSignature(body: string): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

/** Standard Webhooks; what follows `whsec_` is the key in base64. */
function standardSignature(id: string, timestamp: string, body: string): string {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
  return "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
}

/** Whether a webhook that was received is genuine, as Holdfast's refund requests are. Look at the raw body first. */
function isSigned(headers: Record<string, string>, body: string): boolean {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= toleranceSeconds)) return false;
  const expected = Buffer.from(standardSignature(id, timestamp, body));
  // Several may be listed while a secret is being replaced.
  const listed = signatures.split(" ").map((one) => Buffer.from(one));
  return listed.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

async function send(body: string, headers: Record<string, string>): Promise<string> {
  const all = { "content-type": "application/json", ...headers };
  const answer = await fetch(base + "/api/payments/webhook", { method: "POST", headers: all, body });
  if (!answer.ok) throw new Error(await answer.text());
  return answer.text();
}

async function main(): Promise<void> {
  const payment = { order_id: process.argv[2], payment_id: "pay_ts", status: "succeeded", timestamp: new Date().toISOString() };
  const body = JSON.stringify(payment);
  const [id, timestamp] = [`evt_${randomUUID()}`, String(Math.floor(Date.now() / 1000))];
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": standardSignature(id, timestamp, body) };
  if (!isSigned(headers, body) || isSigned(headers, body + " ")) throw new Error("signatures are not told apart");
  console.log(await send(body, headers));
  // The same payment under another key and with another signature: no effect.
  const signed = { "x-idempotency-key": `${id}-2`, "x-webhook-signature": `sha256=${hexSignature(body)}` };
  console.log(await send(body, signed));
}

main();
