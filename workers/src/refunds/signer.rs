//! Signs what we send, as Standard Webhooks has it (<https://github.com/standard-webhooks/standard-webhooks>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_common::settings::Secret;
use sha2::Sha256;

/// A secret of this form is base64 behind the prefix.
const BASE64_PREFIX: &str = "whsec_";

/// Signs with one secret, or not at all when there is none.
pub(super) struct Signer {
    key: Option<Vec<u8>>,
}

impl Signer {
    pub(super) fn new(secret: Option<&Secret>) -> Self {
        let key = |secret: &Secret| match secret.expose().strip_prefix(BASE64_PREFIX) {
            Some(encoded) => STANDARD.decode(encoded).unwrap_or_else(|_| secret.expose().as_bytes().to_vec()),
            None => secret.expose().as_bytes().to_vec(),
        };
        Self { key: secret.filter(|secret| !secret.expose().is_empty()).map(key) }
    }

    /// The headers that go with a message: its id, the time in Unix seconds, and the signature of both and the body.
    pub(super) fn headers(&self, id: &str, timestamp: i64, body: &[u8]) -> Vec<(&'static str, String)> {
        let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp.to_string())];
        // HMAC takes keys of any length.
        let mac = self.key.as_ref().and_then(|key| Hmac::<Sha256>::new_from_slice(key).ok());
        if let Some(mut mac) = mac {
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            headers.push(("webhook-signature", format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))));
        }
        headers
    }
}
