"""Changes requests in ways that a schema can't express: each key is used once, and webhooks are signed."""

import hashlib
import hmac
import itertools

import schemathesis

SECRET = b"dev-webhook-secret"
KEYS = ("Idempotency-Key", "X-Idempotency-Key")
KEY_CHARS_MAX = 255
COUNT = itertools.count()


def is_key(text):
    """Whether the schema allows this key. Other keys are sent unchanged, and must be rejected."""
    is_short = isinstance(text, str) and 0 < len(text) <= KEY_CHARS_MAX
    return is_short and text.isascii() and text.isprintable() and text == text.strip()


def sign(request):
    """Signs the final body of a webhook."""
    body = request.body or b""
    body = body.encode() if isinstance(body, str) else body
    request.headers.setdefault("X-Idempotency-Key", f"webhook-{next(COUNT)}")
    request.headers["X-Webhook-Signature"] = hmac.new(SECRET, body, hashlib.sha256).hexdigest()
    return request


@schemathesis.hook
def before_call(context, case, kwargs):
    for name in KEYS:
        key = (case.headers or {}).get(name)
        if is_key(key):
            end = f"{next(COUNT):06}"
            case.headers[name] = key[: KEY_CHARS_MAX - len(end)] + end
    is_webhook = case.operation.path == "/api/payments/webhook"
    # Negative tests of the body need a signature, too, because the service checks the signature first.
    if is_webhook and not any("signature" in name.lower() for name in case.headers or {}):
        kwargs["auth"] = sign
