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
    """One request: status, headers and document."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(BASE + path, data, {"Content-Type": "application/json", **headers}, method=method)
    try:
        answer = urllib.request.urlopen(request, timeout=30)
    except urllib.error.HTTPError as refused:
        answer = refused
    with answer:
        return answer.status, answer.headers, json.load(answer)


def ask(method, path, body, **headers):
    """Asks until there is an answer that counts; the key makes that safe. A 202 is followed to its outcome."""
    headers = {"Idempotency-Key": str(uuid.uuid4()), **headers}
    for _ in range(60):
        try:
            status, told, document = call(method, path, body, **headers)
        except OSError:
            time.sleep(1)
            continue
        if status == 202:
            return outcome(told["Location"])
        if status not in (429, 503):
            return status, document
        time.sleep(int(told["Retry-After"]))
    raise TimeoutError(path)


def outcome(location):
    """What became of a request that was answered 202."""
    for _ in range(60):
        _, _, request = call("GET", location)
        if request["status"] == "done":
            return request["response"]["status"], request["response"]["body"]
        time.sleep(1)
    raise TimeoutError(location)


key = {"Idempotency-Key": str(uuid.uuid4())}
status, hold = ask("POST", "/api/holds", {"product_id": PRODUCT, "quantity": 2}, **key)
assert status == 201, hold  # a problem document: {"code": "insufficient_stock", …}
# The same key, the same hold: nothing more is set aside.
assert ask("POST", "/api/holds", {"product_id": PRODUCT, "quantity": 2}, **key) == (status, hold)

status, order = ask("POST", "/api/orders", {"hold_id": hold["hold_id"]}, Prefer="respond-async")
assert status == 201, order
print(order["status"], order["order_id"])
