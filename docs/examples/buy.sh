#!/usr/bin/env bash
# Holds two units of a product and orders them. Prints the order's status and id.
set -euo pipefail
base=${HOLDFAST_URL:-http://127.0.0.1:8080} product=${PRODUCT_ID:-1}
key=$(openssl rand -hex 16)

# Prints a field of the JSON on standard input. Your own code should use a JSON library.
field() { grep -o "\"$1\":\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4; }

# Repeats the request with the same key until there is a response: curl repeats after no response, and after 408, 429 and 5xx.
hold() {
  curl -sS --retry 5 --retry-connrefused --retry-all-errors --fail-with-body "$base/api/holds" \
    -H 'content-type: application/json' -H "idempotency-key: $key" -d "{\"product_id\":$product,\"quantity\":2}"
}
hold_id=$(hold | field hold_id)
# The same key returns the same hold. No more units are held.
test "$(hold | field hold_id)" = "$hold_id"

# Does not wait for the outcome: the 202 has a URL to poll.
status_url=$(curl -sS --fail-with-body "$base/api/orders" -H 'content-type: application/json' -H 'prefer: respond-async' \
  -d "{\"hold_id\":\"$hold_id\"}" | field status_url)
for _ in $(seq 60); do
  request=$(curl -sS --fail-with-body "$base$status_url")
  if [ "$(field status <<<"$request")" = done ]; then break; fi
  sleep 1
done
order_id=$(field order_id <<<"$request")
echo "$(curl -sS --fail-with-body "$base/api/orders/$order_id" | field status) $order_id"
