//! Payment webhooks, signed by a third-party library.

use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Answer, Client};

/// The webhook secret of every sale.
pub const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// A webhook of a payment provider.
#[derive(Clone, Debug)]
pub struct Webhook {
    /// The idempotency key.
    pub key: String,
    pub body: Value,
}

impl Webhook {
    /// A webhook about a payment of an order, with this payment status.
    #[must_use]
    pub fn new(key: &str, order_id: &str, payment_id: &str, status: &str) -> Self {
        let body = json!({"order_id": order_id, "payment_id": payment_id, "status": status,
            "timestamp": "2026-01-01T00:00:00Z", "livemode": false});
        Self {
            key: key.to_owned(),
            body,
        }
    }

    /// Sets a field of the body.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.body[name] = value;
        self
    }

    /// The headers of Standard Webhooks, signed for a time this number of seconds from now.
    ///
    /// # Panics
    /// When the secret is not valid.
    #[must_use]
    pub fn headers(&self, secret: &str, seconds: i64) -> [(&'static str, String); 3] {
        // The provider's clock, not Holdfast's.
        #[expect(clippy::disallowed_methods)]
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| since.as_secs().cast_signed());
        let (time, body) = (now + seconds, self.body.to_string());
        let signed = standardwebhooks::Webhook::new(secret)
            .and_then(|key| key.sign(&self.key, time, body.as_bytes()));
        let signature = signed.unwrap_or_else(|error| panic!("not signed: {error}"));
        [
            ("webhook-id", self.key.clone()),
            ("webhook-timestamp", time.to_string()),
            ("webhook-signature", signature),
        ]
    }

    pub async fn send(&self, client: &Client) -> Answer {
        let headers = self.headers(WEBHOOK_SECRET, 0);
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let body = Some(self.body.to_string().into_bytes());
        client
            .send(Method::POST, "/api/payments/webhook", &headers, body)
            .await
    }
}
