//! `/api/payments/webhook`: what a payment provider tells us, signed.
//!
//! Nothing of a body is read before its signature is verified. In the contract's order: 413, 401, 400, 422. A 2xx is
//! sent only when a worker has committed what the payment did.

use std::sync::Arc;

use axum::extract::{FromRef, Request, State};
use axum::response::Response;
use holdfast_common::command::{Action, Command, IdempotencyKey, PaymentNotice};
use holdfast_common::id::HoldId;
use holdfast_common::money::{Currency, InvalidCurrency};
use serde_json::Value;

use crate::app::App;
use crate::host_clock::{self, new_request_id};
use crate::http::body::{self, BodyTimeout, Fields, integer, text, time};
use crate::http::openapi;
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::http::signature;
use crate::http::views::{ORDER_REFERENCE_PREFIX, SettlementView};

/// The longest payment id, in characters.
pub(crate) const PAYMENT_ID_CHARS_MAX: usize = 255;
/// The fields that can name the order, any of them.
pub(crate) const REFERENCES: [&str; 3] = ["order_reference", "order_id", "hold_id"];

/// Takes a payment provider's word
///
/// Signed over the raw body, in any of three ways; the first of Standard Webhooks, Stripe and `X-Webhook-Signature` whose
/// headers are there decides alone. Checked in this order: size, signature, key, form. A 2xx is sent when what the payment
/// did is stored; until then 503, and the provider comes again. A repeat gets the first answer.
#[utoipa::path(post, path = "/api/payments/webhook", tag = "Payments", operation_id = "receivePayment",
    params(openapi::SignatureHeaders), request_body = openapi::PaymentNotice,
    security(("standardWebhooks" = []), ("stripe" = []), ("hexDigest" = [])),
    responses(
        (status = 200, description = "What it did", body = SettlementView),
        (status = 202, description = "It is kept for its order, which is not there yet", body = SettlementView),
        (status = 400, description = "idempotency_key_missing"),
        (status = 401, description = "signature_invalid"),
        (status = 500, description = "command_failed"),
        (status = 503, description = "log_unavailable, log_full, overloaded"),
    ))]
pub(super) async fn webhook(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Problem> {
    let headers = request.headers().clone();
    let body = body::raw(request, BodyTimeout::from_ref(&app)).await?;
    let verified = signature::verify(&headers, &body, &app.webhook_secrets, host_clock::now());
    let verified = verified.map_err(|_| &codes::SIGNATURE_INVALID)?;
    let key = verified
        .key(|| body_id(&body))
        .ok_or(&codes::IDEMPOTENCY_KEY_MISSING)?;
    let notice = read_notice(Fields::parse(&body)?)?;
    let command = Command {
        request_id: new_request_id(notice.order_id.slot()),
        key: Some(app.keys().blind(IdempotencyKey::with_body(&key, &body))),
        action: Action::SettlePayment(notice),
    };
    let decision = app.webhooks.submit(&command).await?;
    Ok(render::decided(&decision))
}

/// The `id` of a provider's own event.
fn body_id(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("id")?.as_str().map(str::to_owned)
}

fn read_notice(mut fields: Fields) -> Result<PaymentNotice, Problem> {
    let named = REFERENCES.map(|name| fields.optional(name, reference));
    let order_id = named.iter().flatten().next().copied();
    match order_id {
        None => fields.refuse(
            REFERENCES[0],
            "must name the order, or order_id or hold_id must",
        ),
        Some(id) if named.iter().flatten().any(|other| *other != id) => {
            fields.refuse(
                REFERENCES[0],
                "must name the same order as order_id and hold_id",
            );
        }
        Some(_) => {}
    }
    let payment_id = fields.required("payment_id", text(PAYMENT_ID_CHARS_MAX));
    let succeeded = fields.required("status", |value| match value.as_str() {
        Some("succeeded" | "paid") => Ok(true),
        Some("failed") => Ok(false),
        _ => Err("must be succeeded, paid or failed".to_owned()),
    });
    fields.optional("timestamp", time);
    let amount_minor = fields.optional("amount_minor", integer(0, i64::MAX));
    let currency = fields.optional("currency", currency);
    fields.finish_leniently()?;
    let missing = || Problem::invalid_field(REFERENCES[0], "is required");
    Ok(PaymentNotice {
        order_id: order_id.ok_or_else(missing)?,
        payment_id,
        succeeded,
        amount_minor,
        currency,
    })
}

/// Some providers write currencies in small letters. A payment that happened is not turned away for that.
fn currency(value: &Value) -> Result<Currency, String> {
    let code = value.as_str().ok_or("must be a text")?.to_ascii_uppercase();
    code.parse()
        .map_err(|error: InvalidCurrency| error.to_string())
}

fn reference(value: &Value) -> Result<HoldId, String> {
    let text = value.as_str().unwrap_or_default();
    let id = text
        .strip_prefix(ORDER_REFERENCE_PREFIX)
        .unwrap_or(text)
        .parse();
    id.map_err(|_| "must be an order's id or reference".to_owned())
}
