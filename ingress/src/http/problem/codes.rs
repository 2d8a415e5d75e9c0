//! The table of problem codes: status, title, and a detail that states the cause and what to do.
//!
//! Clients decide by the code, so a code never changes its meaning or its status. Responses, the OpenAPI description and
//! the test of docs/api.md read this table.

use axum::http::StatusCode;

/// A problem code of the API.
#[derive(Debug)]
pub struct ProblemCode {
    pub name: &'static str,
    pub status: StatusCode,
    pub title: &'static str,
    /// The cause, and what to do. A problem may replace it with a text that contains values.
    pub detail: &'static str,
    /// Whether workers decide it. Such a refusal is stored and replayed under the request's idempotency key; the
    /// ingress's own refusals are not.
    pub is_outcome: bool,
}

/// Defines a constant for each code, and `ALL` with every code.
macro_rules! codes {
    ($($constant:ident $name:literal $status:ident $title:literal $detail:literal, $is_outcome:literal;)+) => {
        $(pub const $constant: ProblemCode = ProblemCode {
            name: $name,
            status: StatusCode::$status,
            title: $title,
            detail: $detail,
            is_outcome: $is_outcome,
        };)+

        /// Every code that a response can have.
        pub const ALL: &[&ProblemCode] = &[$(&$constant),+];
    };
}

// Constant, name, status, title, detail, whether it is an outcome.
codes! {
    PRODUCT_NOT_FOUND "product_not_found" NOT_FOUND "Product not found"
        "No product has this id. Check the id.", true;
    INSUFFICIENT_STOCK "insufficient_stock" CONFLICT "Insufficient stock"
        "Fewer units are available than requested. Request fewer, or try again when held units return.", true;
    SALE_NOT_OPEN "sale_not_open" CONFLICT "Sale not open"
        "The sale has not started yet, or has ended. Send the request between sale_starts_at and sale_ends_at.", true;
    PURCHASE_LIMIT_REACHED "purchase_limit_reached" CONFLICT "Purchase limit reached"
        "The customer would exceed the product's limit per customer. Request fewer units.", true;
    HOLD_NOT_FOUND "hold_not_found" NOT_FOUND "Hold not found"
        "No hold has this id. Check the id.", true;
    HOLD_CONSUMED "hold_consumed" CONFLICT "Hold consumed"
        "The hold has become an order, which has the hold's id. Read or pay the order.", true;
    HOLD_RELEASED "hold_released" CONFLICT "Hold released"
        "The hold was released. Create a new hold.", true;
    HOLD_EXPIRED "hold_expired" GONE "Hold expired"
        "The hold has expired. Create a new hold.", true;
    IDEMPOTENCY_KEY_REUSED "idempotency_key_reused" UNPROCESSABLE_ENTITY "Idempotency key reused"
        "This idempotency key was used for another request. Use a new key for each new request.", true;
    DEAD_LETTER_NOT_FOUND "dead_letter_not_found" NOT_FOUND "Dead letter not found"
        "No open dead letter has this id. List the open dead letters.", true;
    PRODUCT_EXISTS "product_exists" CONFLICT "Product exists"
        "A product with this id exists. Send the request again; it gets a new id.", true;
    STOCK_LIMIT_EXCEEDED "stock_limit_exceeded" CONFLICT "Stock limit exceeded"
        "The product would exceed the highest stock of a product. Add fewer units.", true;
    COMMAND_FAILED "command_failed" INTERNAL_SERVER_ERROR "Command failed"
        "The request could not be applied and is kept as a dead letter. An operator must retry or drop it.", true;

    INVALID_REQUEST "invalid_request" UNPROCESSABLE_ENTITY "Invalid request"
        "The request has invalid fields. Correct the fields that `errors` lists.", false;
    NOT_FOUND "not_found" NOT_FOUND "Not found"
        "Nothing exists at this path. Check the path.", false;
    ORDER_NOT_FOUND "order_not_found" NOT_FOUND "Order not found"
        "No order has this id or reference. Check it.", false;
    REQUEST_NOT_FOUND "request_not_found" NOT_FOUND "Request not found"
        "No request has this id and `seq`. Check both; if they are right, send the request again.", false;
    PAYMENT_NOT_FOUND "payment_not_found" NOT_FOUND "Payment not found"
        "This order has no payment with this id. Check both ids.", false;
    EVENT_DEAD_LETTER_NOT_FOUND "event_dead_letter_not_found" NOT_FOUND "Event dead letter not found"
        "No undelivered event has this id. List the event dead letters.", false;
    ALREADY_REFUNDED "already_refunded" CONFLICT "Already refunded"
        "This payment is refunded. Nothing is left to do.", false;
    NO_REFUND_OWED "no_refund_owed" CONFLICT "No refund owed"
        "No refund is owed for this payment. Check the order id and the payment id.", false;
    MALFORMED_JSON "malformed_json" BAD_REQUEST "Malformed json"
        "The body is not JSON, or arrived incomplete. Send one complete JSON object.", false;
    MALFORMED_FORM "malformed_form" BAD_REQUEST "Malformed form"
        "The body is not the form of the sign-in page. Sign in on that page.", false;
    UNSUPPORTED_MEDIA_TYPE "unsupported_media_type" UNSUPPORTED_MEDIA_TYPE "Unsupported media type"
        "The body has another content type than application/json. Send application/json.", false;
    PAYLOAD_TOO_LARGE "payload_too_large" PAYLOAD_TOO_LARGE "Payload too large"
        "The body has more than 65536 bytes. Send a smaller body.", false;
    REQUEST_TIMEOUT "request_timeout" REQUEST_TIMEOUT "Request timeout"
        "The body did not arrive in time. Send the request again on a new connection.", false;
    METHOD_NOT_ALLOWED "method_not_allowed" METHOD_NOT_ALLOWED "Method not allowed"
        "This path does not support the method. Use one of the methods in `Allow`.", false;
    UNAUTHORIZED "unauthorized" UNAUTHORIZED "Unauthorized"
        "This call needs the admin token. Send it as `Authorization: Bearer ...`.", false;
    SIGNATURE_INVALID "signature_invalid" UNAUTHORIZED "Signature invalid"
        "The webhook's signature is missing, wrong or too old. Check the signing secret and the sender's clock.", false;
    IDEMPOTENCY_KEY_MISSING "idempotency_key_missing" BAD_REQUEST "Idempotency key missing"
        "A webhook needs an idempotency key of 1 to 255 printable characters. Send X-Idempotency-Key or webhook-id.", false;
    RATE_LIMITED "rate_limited" TOO_MANY_REQUESTS "Rate limited"
        "Too many requests per second. Try again after `Retry-After`.", false;
    OVERLOADED "overloaded" SERVICE_UNAVAILABLE "Overloaded"
        "Too many requests are waiting. Try again after `Retry-After`.", false;
    LOG_UNAVAILABLE "log_unavailable" SERVICE_UNAVAILABLE "Log unavailable"
        "The command log did not confirm the request. Send it again with the same idempotency key.", false;
    LOG_FULL "log_full" SERVICE_UNAVAILABLE "Log full"
        "The command log is full. Try again later.", false;
    STORE_UNAVAILABLE "store_unavailable" SERVICE_UNAVAILABLE "Store unavailable"
        "The database did not respond. Try again after `Retry-After`.", false;
    NOT_READY "not_ready" SERVICE_UNAVAILABLE "Not ready"
        "The parts that `down` lists do not respond. Check them.", false;
    INTERNAL_ERROR "internal_error" INTERNAL_SERVER_ERROR "Internal error"
        "The request failed in the ingress. Report its X-Request-Id to the operator.", false;
    CROWD_IS_HERE "crowd_is_here" CONFLICT "Crowd is here"
        "Another crowd is running. Wait until it has finished.", false;
    WEBHOOK_SECRET_MISSING "webhook_secret_missing" SERVICE_UNAVAILABLE "Webhook secret missing"
        "The demo store needs WEBHOOK_SECRETS to sign payments. Set it and restart the ingress.", false;
}
