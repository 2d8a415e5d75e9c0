//! Outgoing HTTP: posts refund requests and events, signed as Standard Webhooks defines it.
//!
//! [`crate::refunds`] and [`crate::events::webhooks`] share these rules:
//! - A URL has the scheme http or https. Errors and logs never contain it, since it may carry a secret.
//! - Any 2xx response within 10 seconds accepts a message. All other results are retried; no status is final.
//! - Up to 10 redirects are followed. The body of the response is not read.
//! - The pause between two tries doubles, from half a second to 10 minutes.
//! - A receiver may get a message more than once, with the same id in `webhook-id` and `idempotency-key`.
//!
//! This module keeps no state: its callers count the tries, and decide when to stop.

mod signer;

use std::time::Duration;

use holdfast_common::settings::Secret;

use self::signer::Signer;

/// The time limit of a request, until the head of its response arrives.
const RESPONSE_WAIT: Duration = Duration::from_secs(10);
/// The first and the longest pause between two tries of a message.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(600));

/// The pause after this many failed tries, counted from 1. It doubles with each try.
#[must_use]
pub fn retry_pause(tries: u32) -> Duration {
    let doublings = tries.saturating_sub(1).min(16);
    (RETRY_PAUSE.0 * 2_u32.pow(doublings)).min(RETRY_PAUSE.1)
}

/// The host of a URL to post to. `None` when it is not an http or https URL.
#[must_use]
pub fn host(url: &Secret) -> Option<String> {
    let url = reqwest::Url::parse(url.expose()).ok()?;
    let host = url
        .host_str()
        .filter(|_| matches!(url.scheme(), "http" | "https"));
    host.map(str::to_owned)
}

/// Posts messages to one URL.
pub struct Poster {
    url: Secret,
    signer: Signer,
    http: reqwest::Client,
}

/// A message to post.
pub struct OutgoingMessage<'m> {
    /// The same for each try, so that the receiver can recognize a repetition.
    pub id: &'m str,
    /// In Unix seconds. Receivers reject signatures that are too old.
    pub timestamp: i64,
    pub content_type: &'static str,
    pub body: Vec<u8>,
}

impl Poster {
    /// Signs with each of the secrets. Without secrets messages are not signed.
    #[must_use]
    pub fn new(url: Secret, secrets: &[Secret]) -> Self {
        // Only the first call in a process has an effect. Every caller installs the same provider.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            url,
            signer: Signer::new(secrets),
            http: reqwest::Client::new(),
        }
    }

    /// Posts a message. Any 2xx status accepts it.
    ///
    /// # Errors
    /// When the receiver can't be reached, does not respond within 10 seconds, or responds with another status. The error
    /// does not contain the URL, which may carry a secret.
    pub async fn post(&self, message: OutgoingMessage<'_>) -> reqwest::Result<()> {
        let OutgoingMessage {
            id,
            timestamp,
            content_type,
            body,
        } = message;
        let mut request = self
            .http
            .post(self.url.expose())
            .timeout(RESPONSE_WAIT)
            .header("content-type", content_type)
            .header("idempotency-key", id);
        for (name, value) in self.signer.headers(id, timestamp, &body) {
            request = request.header(name, value);
        }
        let response = request.body(body).send().await;
        response
            .and_then(reqwest::Response::error_for_status)
            .map(drop)
            .map_err(reqwest::Error::without_url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_pauses_double_up_to_ten_minutes() {
        let seconds = [1, 2, 3, 10, 11, 12, 1000].map(|tries| retry_pause(tries).as_secs_f64());
        assert_eq!(seconds, [0.5, 1.0, 2.0, 256.0, 512.0, 600.0, 600.0]);
    }
}
