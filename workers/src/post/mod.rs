//! What Holdfast posts to others: JSON, signed as Standard Webhooks has it.

mod signer;

use std::time::Duration;

use holdfast_common::settings::Secret;

use self::signer::Signer;

/// How long a receiver may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Posts, and signs what it posts.
pub struct Poster {
    signer: Signer,
    http: reqwest::Client,
}

impl Poster {
    /// Signs with each of the secrets, or not at all when there is none.
    #[must_use]
    pub fn new(secrets: &[Secret]) -> Self {
        // Only the first call in a process counts, and any of them will do.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Self {
            signer: Signer::new(secrets),
            http: reqwest::Client::new(),
        }
    }

    /// Posts a message with its id, at a time in Unix seconds; any 2xx takes it.
    ///
    /// # Errors
    /// When the receiver can't be reached, does not answer in 10 seconds, or answers something else. The error tells
    /// nothing of the URL, which may carry a secret.
    pub async fn post(
        &self,
        url: &Secret,
        id: &str,
        timestamp: i64,
        content_type: &str,
        body: Vec<u8>,
    ) -> reqwest::Result<()> {
        let request = self
            .http
            .post(url.expose())
            .timeout(ANSWER_WAIT)
            .header("content-type", content_type);
        let request = self
            .signer
            .headers(id, timestamp, &body)
            .into_iter()
            .fold(request.header("idempotency-key", id), |request, header| {
                request.header(header.0, header.1)
            });
        let response = request
            .body(body)
            .send()
            .await
            .map_err(reqwest::Error::without_url)?;
        response
            .error_for_status()
            .map(drop)
            .map_err(reqwest::Error::without_url)
    }
}
