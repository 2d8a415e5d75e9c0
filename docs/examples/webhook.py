"""Pays an order with a signed webhook, as a payment provider does, and checks signatures. Prints the responses."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
import urllib.request
import uuid

BASE = os.environ.get("HOLDFAST_URL", "http://127.0.0.1:8080")
SECRET = os.environ.get("WEBHOOK_SECRET", "dev-webhook-secret")
TOLERANCE_SECONDS = 300


def hex_signature(body):
    """Signs for X-Webhook-Signature. The whole secret is the key."""
    return hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()


def standard_signature(id, timestamp, body):
    """Signs for Standard Webhooks. The key is the base64 after `whsec_`."""
    key = base64.b64decode(SECRET[6:]) if SECRET.startswith("whsec_") else SECRET.encode()
    signed = f"{id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def is_signed(headers, body):
    """Whether the signature of a received webhook is valid. Holdfast signs its refund requests so. Check the raw body before parsing it."""
    id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if abs(time.time() - int(timestamp)) > TOLERANCE_SECONDS:
        return False
    expected = standard_signature(id, timestamp, body)
    # While a secret is replaced, there can be several signatures.
    return any(hmac.compare_digest(expected, one) for one in headers["webhook-signature"].split(" "))


def send(body, headers):
    headers = {"Content-Type": "application/json", **headers}
    with urllib.request.urlopen(urllib.request.Request(BASE + "/api/payments/webhook", body, headers)) as response:
        return response.read().decode()


payment = {"order_id": sys.argv[1], "payment_id": "pay_py", "status": "succeeded",
           "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
body = json.dumps(payment).encode()
id, timestamp = f"evt_{uuid.uuid4()}", str(int(time.time()))
headers = {"webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": standard_signature(id, timestamp, body)}
assert is_signed(headers, body) and not is_signed(headers, body + b" ")
print(send(body, headers))
# The same payment with another key and another kind of signature has no effect.
print(send(body, {"X-Idempotency-Key": id + "-2", "X-Webhook-Signature": "sha256=" + hex_signature(body)}))
