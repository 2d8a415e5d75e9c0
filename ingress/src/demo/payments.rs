//! A stand-in for a payment provider: really signed webhooks, sent over HTTP to the ingress itself.

use axum::http::{HeaderName, Method};
use bytes::Bytes;
use holdfast_common::id::HoldId;
use serde::Serialize;
use serde_json::{Value, json};

use crate::App;
use crate::commands::clock;
use crate::demo::loopback::{self, NoAnswer};
use crate::http::problem::Problem;

const SIGNATURE: HeaderName = HeaderName::from_static("x-webhook-signature");
const KEY: HeaderName = HeaderName::from_static("x-idempotency-key");
const WEBHOOK: &str = "/api/payments/webhook";

/// What a shopper's payment does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It succeeds.
    Pay,
    /// It fails.
    Fail,
    /// It succeeds, its webhook is sent again, and then a second payment succeeds.
    PayTwice,
    /// It fails, which cancels the order, and then another succeeds.
    PayLate,
    /// It succeeds before there is an order.
    WebhookBeforeOrder,
}

/// A webhook before it is sent: which of the delivery's keys and payments it has, and whether that succeeded.
type Planned = (usize, usize, bool);

impl Kind {
    /// Reads its name.
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

    fn webhooks(self) -> &'static [Planned] {
        match self {
            Self::Pay | Self::WebhookBeforeOrder => &[(0, 0, true)],
            Self::Fail => &[(0, 0, false)],
            Self::PayTwice => &[(0, 0, true), (0, 0, true), (1, 1, true)],
            Self::PayLate => &[(0, 0, false), (1, 1, true)],
        }
    }
}

/// A webhook that was sent, and what it was answered.
#[derive(Debug, Serialize)]
#[allow(missing_docs)]
pub struct Sent {
    pub idempotency_key: String,
    pub payment_id: String,
    pub payment_status: &'static str,
    pub answer_status: u16,
    pub is_replayed: bool,
    pub answer: Value,
}

/// Sends what a payment makes its provider send, one after the other.
///
/// # Errors
/// When there is no secret to sign with, or no answer comes.
pub async fn deliver(app: &App, kind: Kind, order_id: HoldId) -> Result<Vec<Sent>, Problem> {
    let mut sent = Vec::new();
    let ids: [u64; 2] = rand::random();
    // The same webhook sent again has the same time, too.
    let time = clock::for_signatures().to_string();
    for (key, payment, has_succeeded) in kind.webhooks() {
        let (key, payment_id) = (
            format!("demo_evt_{:016x}", ids[*key]),
            format!("demo_pay_{:016x}", ids[*payment]),
        );
        let status = if *has_succeeded {
            "succeeded"
        } else {
            "failed"
        };
        let body = json!({"order_id": order_id.uuid(), "payment_id": payment_id, "status": status, "timestamp": time});
        let body = body.to_string();
        let signature = app
            .webhook_secrets
            .sign(body.as_bytes())
            .ok_or_else(no_secret)?;
        let headers = [(SIGNATURE, signature.as_str()), (KEY, key.as_str())];
        let answer = loopback::send(
            app.loopback,
            Method::POST,
            WEBHOOK,
            &headers,
            Bytes::from(body),
        )
        .await?;
        sent.push(Sent {
            idempotency_key: key,
            payment_id,
            payment_status: status,
            answer_status: answer.status.as_u16(),
            is_replayed: answer.is_replayed,
            answer: answer.body,
        });
    }
    Ok(sent)
}

fn no_secret() -> Problem {
    Problem::unavailable(
        "webhook_secret_missing",
        "The demo store needs WEBHOOK_SECRETS to sign payments with.",
    )
}

impl From<NoAnswer> for Problem {
    fn from(_: NoAnswer) -> Self {
        Self::unavailable(
            "overloaded",
            "The ingress did not answer its own request in time.",
        )
    }
}
