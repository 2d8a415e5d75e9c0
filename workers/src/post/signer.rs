//! Signatures of outgoing messages, as Standard Webhooks defines them (<https://github.com/standard-webhooks/standard-webhooks>).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use holdfast_common::settings::Secret;
use sha2::Sha256;

/// The rest of a secret with this prefix is base64.
const BASE64_PREFIX: &str = "whsec_";

/// Signs with each of its keys, so that a secret can be rotated. Without keys it does not sign.
pub(super) struct Signer {
    keys: Vec<Vec<u8>>,
}

impl Signer {
    pub(super) fn new(secrets: &[Secret]) -> Self {
        let key = |secret: &Secret| match secret.expose().strip_prefix(BASE64_PREFIX) {
            Some(encoded) => STANDARD
                .decode(encoded)
                .unwrap_or_else(|_| secret.expose().as_bytes().to_vec()),
            None => secret.expose().as_bytes().to_vec(),
        };
        Self {
            keys: secrets
                .iter()
                .filter(|secret| !secret.expose().is_empty())
                .map(key)
                .collect(),
        }
    }

    /// The headers of a message: its id, the time in Unix seconds, and the signatures of id, time and body.
    pub(super) fn headers(
        &self,
        id: &str,
        timestamp: i64,
        body: &[u8],
    ) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("webhook-id", id.to_owned()),
            ("webhook-timestamp", timestamp.to_string()),
        ];
        // HMAC takes keys of any length.
        let macs = self
            .keys
            .iter()
            .filter_map(|key| Hmac::<Sha256>::new_from_slice(key).ok());
        let signatures = macs.map(|mut mac| {
            mac.update(format!("{id}.{timestamp}.").as_bytes());
            mac.update(body);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        });
        let signatures: Vec<String> = signatures.collect();
        if !signatures.is_empty() {
            headers.push(("webhook-signature", signatures.join(" ")));
        }
        headers
    }
}
