// Pays an order with a signed webhook, as a payment provider does, and checks signatures. Prints the responses.
// Node 22.18 or newer runs this file directly; older versions need `tsc`.
import { createHmac, randomUUID, timingSafeEqual } from "node:crypto";

const base = process.env.HOLDFAST_URL ?? "http://127.0.0.1:8080";
const secret = process.env.WEBHOOK_SECRET ?? "dev-webhook-secret";
const toleranceSeconds = 300;

/** Signs for X-Webhook-Signature. The whole secret is the key. */
function hexSignature(body: string): string {
  return createHmac("sha256", secret).update(body).digest("hex");
}

/** Signs for Standard Webhooks. The key is the base64 after `whsec_`. */
function standardSignature(id: string, timestamp: string, body: string): string {
  const key = secret.startsWith("whsec_") ? Buffer.from(secret.slice(6), "base64") : Buffer.from(secret);
  return "v1," + createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
}

/** Whether the signature of a received webhook is valid. Holdfast signs its refund requests so. Check the raw body before parsing it. */
function isSigned(headers: Record<string, string>, body: string): boolean {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signatures } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(timestamp)) <= toleranceSeconds)) return false;
  const expected = Buffer.from(standardSignature(id, timestamp, body));
  // While a secret is replaced, there can be several signatures.
  const listed = signatures.split(" ").map((one) => Buffer.from(one));
  return listed.some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

async function send(body: string, headers: Record<string, string>): Promise<string> {
  const all = { "content-type": "application/json", ...headers };
  const response = await fetch(base + "/api/payments/webhook", { method: "POST", headers: all, body });
  if (!response.ok) throw new Error(await response.text());
  return response.text();
}

async function main(): Promise<void> {
  const payment = { order_id: process.argv[2], payment_id: "pay_ts", status: "succeeded", timestamp: new Date().toISOString() };
  const body = JSON.stringify(payment);
  const [id, timestamp] = [`evt_${randomUUID()}`, String(Math.floor(Date.now() / 1000))];
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": standardSignature(id, timestamp, body) };
  if (!isSigned(headers, body) || isSigned(headers, body + " ")) throw new Error("a wrong signature was accepted, or a right one was not");
  console.log(await send(body, headers));
  // The same payment with another key and another kind of signature has no effect.
  const signed = { "x-idempotency-key": `${id}-2`, "x-webhook-signature": `sha256=${hexSignature(body)}` };
  console.log(await send(body, signed));
}

main();
