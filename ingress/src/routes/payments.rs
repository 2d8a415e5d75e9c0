//! `/api/payments/webhook`: receives signed notices from payment providers.
//!
//! The body is parsed only after its signature is verified. A 2xx is sent only after a worker has committed the payment's
//! effect. Next: [`crate::commands::webhooks`].

use std::sync::Arc;

use axum::extract::{FromRef, Request, State};
use axum::response::Response;
use holdfast_common::command::{Action, Command, IdempotencyKey, PaymentNotice};
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AllOfBuilder, AnyOfBuilder, ObjectBuilder, Schema};

use crate::app::App;
use crate::host_clock::{self, new_request_id};
use crate::http::body::fields::{Fields, RequestBody, impl_body_schema};
use crate::http::body::value_types::{
    CurrencyCode, Custom, OrderName, PAYMENT_ID_CHARS_MAX, Time, ValueType, integer, text,
};
use crate::http::body::{self, BodyTimeout};
use crate::http::openapi::{self, schemas};
use crate::http::problem::{Problem, codes};
use crate::http::views::SettlementView;
use crate::http::{render, signature};

/// A notice has at least one of these fields to name its order.
const ORDER_FIELDS: [&str; 3] = ["order_reference", "order_id", "hold_id"];
const CURRENCY: CurrencyCode = CurrencyCode { any_case: true };
/// Reads whether the payment succeeded.
const STATUS: Custom<bool> = Custom {
    read: |value| match value.as_str() {
        Some("succeeded" | "paid") => Ok(true),
        Some("failed") => Ok(false),
        _ => Err("must be succeeded, paid or failed".to_owned()),
    },
    schema: || schemas::one_of(["succeeded", "paid", "failed"]).into(),
};

/// Receive a payment provider's notice
///
/// The signature covers the raw body, in one of three schemes. The first of Standard Webhooks, Stripe and
/// `X-Webhook-Signature` whose headers are there decides alone. The checks run in this order: size, signature, key, form.
/// A 2xx is sent after the payment's effect is stored. Until then the response is 503, and the provider sends the notice
/// again. A repeat gets the first response.
#[utoipa::path(post, path = "/api/payments/webhook", tag = "Payments", operation_id = "receivePayment",
    params(openapi::SignatureHeaders), request_body = PaymentNoticeBody,
    security(("standardWebhooks" = []), ("stripe" = []), ("hexDigest" = [])),
    responses(
        (status = 200, description = "The payment's effect", body = SettlementView),
        (status = 202, description = "The payment is parked until its order exists", body = SettlementView),
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
    let verified = signature::verify(&headers, &body, &app.webhook_secrets, host_clock::now())
        .map_err(|_| &codes::SIGNATURE_INVALID)?;
    let key = verified
        .key(|| body_id(&body))
        .ok_or(&codes::IDEMPOTENCY_KEY_MISSING)?;
    let PaymentNoticeBody(notice) = PaymentNoticeBody::parse(&body)?;
    let command = Command {
        request_id: new_request_id(notice.order_id.slot()),
        key: Some(app.keys().blind(IdempotencyKey::with_body(&key, &body))),
        action: Action::SettlePayment(notice),
    };
    let decision = app.webhooks.submit(&command).await?;
    Ok(render::decided(&decision))
}

/// The `id` of the provider's event, which stands in for a missing key of a Stripe notice.
fn body_id(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("id")?.as_str().map(str::to_owned)
}

struct PaymentNoticeBody(PaymentNotice);

impl_body_schema!(PaymentNoticeBody as "PaymentNotice");

impl RequestBody for PaymentNoticeBody {
    const DESCRIPTION: &'static str = "A payment. At least one of `order_reference`, `order_id` and `hold_id` names its \
        order. Unknown fields are ignored.";
    const IGNORES_UNKNOWN_FIELDS: bool = true;

    fn example() -> Value {
        json!({"order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "payment_id": "pay_1",
            "status": "succeeded", "timestamp": "2026-11-23T02:20:30Z", "amount_minor": 19998, "currency": "USD"})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let named = ORDER_FIELDS
            .map(|name| fields.optional(name, OrderName.about("An order's id or reference")));
        let order_id = named.iter().flatten().next().copied();
        if order_id.is_none() {
            let message = "must name the order, or order_id or hold_id must";
            fields.reject(ORDER_FIELDS[0], message);
        } else if named.iter().flatten().any(|other| Some(*other) != order_id) {
            let message = "must name the same order as order_id and hold_id";
            fields.reject(ORDER_FIELDS[0], message);
        }
        let payment_id = fields.required("payment_id", text(PAYMENT_ID_CHARS_MAX));
        let succeeded = fields.required("status", STATUS.about("`paid` means `succeeded`"));
        fields.optional("timestamp", Time);
        let amount = integer(0, i64::MAX).about("In minor units of the currency");
        let amount_minor = fields.optional("amount_minor", amount);
        let currency = fields.optional("currency", CURRENCY);
        Some(Self(PaymentNotice {
            order_id: order_id?,
            payment_id: payment_id?,
            succeeded: succeeded?,
            amount_minor,
            currency,
        }))
    }

    fn extend_schema(object: ObjectBuilder) -> RefOr<Schema> {
        let any_order_field = ORDER_FIELDS
            .into_iter()
            .fold(AnyOfBuilder::new(), |any, name| {
                any.item(ObjectBuilder::new().required(name))
            });
        AllOfBuilder::new()
            .item(any_order_field)
            .item(object)
            .into()
    }
}
