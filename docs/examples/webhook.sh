#!/usr/bin/env bash
# Pays an order with a signed webhook, as a payment provider does, and checks signatures. Prints the responses.
set -euo pipefail
base=${HOLDFAST_URL:-http://127.0.0.1:8080} secret=${WEBHOOK_SECRET:-dev-webhook-secret} order_id=$1

# X-Webhook-Signature: hex of HMAC-SHA256 over the body. The whole secret is the key.
hex_signature() { printf '%s' "$1" | openssl dgst -sha256 -hmac "$secret" -r | cut -d ' ' -f 1; }

# Standard Webhooks: base64 of HMAC-SHA256 over id, time and body. The key is the base64 after `whsec_`.
key_in_hex() {
  if [ "${secret#whsec_}" = "$secret" ]; then printf '%s' "$secret"; else printf '%s' "${secret#whsec_}" | openssl base64 -d -A; fi |
    od -An -v -tx1 | tr -d ' \n'
}
standard_signature() { # id, time, body
  printf '%s.%s.%s' "$1" "$2" "$3" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$(key_in_hex)" -binary | openssl base64 -A
}

body="{\"order_id\":\"$order_id\",\"payment_id\":\"pay_sh\",\"status\":\"succeeded\",\"timestamp\":\"$(date -u +%FT%TZ)\"}"
id=evt_$(openssl rand -hex 8) time=$(date +%s)
curl -sS --fail-with-body "$base/api/payments/webhook" -H 'content-type: application/json' -H "webhook-id: $id" \
  -H "webhook-timestamp: $time" -H "webhook-signature: v1,$(standard_signature "$id" "$time" "$body")" -d "$body"
echo
# The same payment with another key and another kind of signature has no effect.
curl -sS --fail-with-body "$base/api/payments/webhook" -H 'content-type: application/json' -H "x-idempotency-key: $id-2" \
  -H "x-webhook-signature: sha256=$(hex_signature "$body")" -d "$body"
echo
