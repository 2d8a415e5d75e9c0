"""Holds two units of a product and orders them. Prints the order's status and id."""

import json
import os
import time
import urllib.error
import urllib.request
import uuid

BASE = os.environ.get("HOLDFAST_URL", "http://127.0.0.1:8080")
PRODUCT = int(os.environ.get("PRODUCT_ID", "1"))


def call(method, path, body=None, **headers):
    """Sends one request. Returns status, headers and document."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        response = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as refused:
        response = refused
    with response:
        return response.status, response.headers, json.load(response)


def send(method, path, body, **headers):
    """Sends a request, and repeats it after 429, 503 or no response. The key makes that safe. After 202, polls for the response."""
    headers = {"Idempotency-Key": str(uuid.uuid4()), **headers}
    for _ in range(60):
        try:
            status, received, document = call(method, path, body, **headers)
        except OSError:
            time.sleep(1)
            continue
        if status == 202:
            return outcome(received["Location"])
        if status not in (429, 503):
            return status, document
        time.sleep(int(received["Retry-After"]))
    raise TimeoutError(path)


def outcome(location):
    """Polls for the response of a request that got 202."""
    for _ in range(60):
        _, _, request = call("GET", location)
        if request["status"] == "done":
            return request["response"]["status"], request["response"]["body"]
        time.sleep(1)
    raise TimeoutError(location)


key = {"Idempotency-Key": str(uuid.uuid4())}
status, hold = send("POST", "/api/holds", {"product_id": PRODUCT, "quantity": 2}, **key)
assert status == 201, hold  # a problem document: {"code": "insufficient_stock", …}
# The same key returns the same hold. No more units are held.
assert send("POST", "/api/holds", {"product_id": PRODUCT, "quantity": 2}, **key) == (status, hold)

status, order = send("POST", "/api/orders", {"hold_id": hold["hold_id"]}, Prefer="respond-async")
assert status == 201, order
print(order["status"], order["order_id"])
