//! A stand-in for a payment provider. It sends signed webhooks over HTTP to this ingress.

use std::net::SocketAddr;

use axum::http::{HeaderName, Method};
use bytes::Bytes;
use holdfast_common::id::HoldId;
use serde::Serialize;
use serde_json::{Value, json};

use crate::demo::loopback::{self, NoResponse};
use crate::host_clock;
use crate::http::problem::{Problem, codes};
use crate::http::signature::WebhookSecrets;

const SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("x-idempotency-key");
const WEBHOOK_PATH: &str = "/api/payments/webhook";

/// The course of a shopper's payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentScenario {
    Pay,
    Fail,
    /// The payment's webhook is sent twice, and a second payment succeeds.
    PayTwice,
    /// The payment fails, which cancels the order. Then another payment succeeds.
    PayLate,
    /// The payment succeeds before the order exists.
    WebhookBeforeOrder,
}

/// A webhook to send: the indexes of its idempotency key and payment, and whether the payment succeeded.
type PlannedWebhook = (usize, usize, bool);

impl PaymentScenario {
    /// Parses the name that the store's page sends.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "pay" => Self::Pay,
            "fail" => Self::Fail,
            "pay_twice" => Self::PayTwice,
            "pay_late" => Self::PayLate,
            "webhook_before_order" => Self::WebhookBeforeOrder,
            _ => return None,
        })
    }

    fn webhooks(self) -> &'static [PlannedWebhook] {
        match self {
            Self::Pay | Self::WebhookBeforeOrder => &[(0, 0, true)],
            Self::Fail => &[(0, 0, false)],
            Self::PayTwice => &[(0, 0, true), (0, 0, true), (1, 1, true)],
            Self::PayLate => &[(0, 0, false), (1, 1, true)],
        }
    }
}

/// A webhook that was sent, and its response.
#[derive(Debug, Serialize)]
pub struct SentWebhook {
    pub idempotency_key: String,
    pub payment_id: String,
    pub payment_status: &'static str,
    pub response_status: u16,
    pub is_replayed: bool,
    pub response: Value,
}

/// Sends the webhooks of a payment, one after the other.
///
/// # Errors
/// When `WEBHOOK_SECRETS` is empty, or the ingress does not respond.
pub async fn deliver(
    secrets: &WebhookSecrets,
    ingress: SocketAddr,
    scenario: PaymentScenario,
    order_id: HoldId,
) -> Result<Vec<SentWebhook>, Problem> {
    let mut sent = Vec::new();
    let ids: [u64; 2] = rand::random();
    // A repeated webhook has the same body, so all webhooks have the same time.
    let time = host_clock::now().to_string();
    for (key, payment, has_succeeded) in scenario.webhooks() {
        let key = format!("demo_evt_{:016x}", ids[*key]);
        let payment_id = format!("demo_pay_{:016x}", ids[*payment]);
        let status = if *has_succeeded {
            "succeeded"
        } else {
            "failed"
        };
        let body = json!({"order_id": order_id.uuid(), "payment_id": payment_id, "status": status, "timestamp": time});
        let body = body.to_string();
        let signature = secrets.sign(body.as_bytes()).ok_or_else(secret_missing)?;
        let headers = [(SIGNATURE, signature.as_str()), (IDEMPOTENCY_KEY, &key)];
        let body = Bytes::from(body);
        let response = loopback::send(ingress, Method::POST, WEBHOOK_PATH, &headers, body).await?;
        sent.push(SentWebhook {
            idempotency_key: key,
            payment_id,
            payment_status: status,
            response_status: response.status.as_u16(),
            is_replayed: response.is_replayed,
            response: response.body,
        });
    }
    Ok(sent)
}

fn secret_missing() -> Problem {
    Problem::new(&codes::WEBHOOK_SECRET_MISSING)
}

impl From<NoResponse> for Problem {
    fn from(_: NoResponse) -> Self {
        Self::new(&codes::OVERLOADED)
            .with_detail("The ingress did not respond to its own request in time. Try again.")
    }
}
