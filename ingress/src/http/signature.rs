//! Signatures of payment webhooks, over the raw body, by HMAC-SHA256 (RFC 2104).
//!
//! There are three schemes: Standard Webhooks (github.com/standard-webhooks/standard-webhooks), Stripe
//! (docs.stripe.com/webhooks#verify-manually), and a plain hex digest. The first scheme whose headers are there decides
//! alone. The body must not be parsed before it is verified. Secrets and signatures must not appear in errors or logs.

use std::fmt;

use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use holdfast_common::settings::Secret;
use holdfast_common::time::Timestamp;
use sha2::Sha256;

/// The largest difference between a signature's time and the host's clock.
const TOLERANCE_SECONDS: u64 = 300;
/// The most signatures of one request that are checked.
const SIGNATURES_MAX: usize = 16;
const KEY_CHARS_MAX: usize = 255;
/// After this prefix, Standard Webhooks expects base64. The other schemes use the whole secret.
const BASE64_PREFIX: &str = "whsec_";

const IDEMPOTENCY_KEY: &str = "x-idempotency-key";

/// The secrets that webhooks may be signed with. During a rotation there are several.
#[derive(Default)]
pub struct WebhookSecrets {
    secrets: Vec<WebhookSecret>,
}

struct WebhookSecret {
    whole: Vec<u8>,
    /// The key for Standard Webhooks. `None` when the text after the prefix is not base64.
    decoded: Option<Vec<u8>>,
}

impl fmt::Debug for WebhookSecrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secrets", self.secrets.len())
    }
}

impl WebhookSecrets {
    /// Parses `WEBHOOK_SECRETS`, a comma-separated list.
    #[must_use]
    pub fn from_setting(setting: Option<&Secret>) -> Self {
        let list = setting.map(Secret::expose).unwrap_or_default();
        let parse = |secret: &str| WebhookSecret {
            whole: secret.as_bytes().to_vec(),
            decoded: match secret.strip_prefix(BASE64_PREFIX) {
                Some(encoded) => STANDARD_NO_PAD.decode(encoded.trim_end_matches('=')).ok(),
                None => Some(secret.as_bytes().to_vec()),
            },
        };
        Self {
            secrets: list
                .split(',')
                .map(str::trim)
                .filter(|secret| !secret.is_empty())
                .map(parse)
                .collect(),
        }
    }

    /// Signs a body with the first secret, for `X-Webhook-Signature`.
    #[must_use]
    pub fn sign(&self, body: &[u8]) -> Option<String> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.secrets.first()?.whole).ok()?;
        mac.update(body);
        Some(hex::encode(mac.finalize().into_bytes()))
    }

    /// Whether one of the secrets gives one of the digests. Every pair is compared, in constant time.
    fn match_any(
        &self,
        key: impl Fn(&WebhookSecret) -> Option<&[u8]>,
        signed: &[&[u8]],
        digests: &[Vec<u8>],
    ) -> bool {
        let mut is_match = false;
        for key in self.secrets.iter().filter_map(key) {
            // It can't fail: HMAC takes keys of any length.
            let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
                continue;
            };
            signed.iter().for_each(|part| mac.update(part));
            for digest in digests {
                is_match |= mac.clone().verify_slice(digest).is_ok();
            }
        }
        is_match
    }
}

/// The signature is missing, wrong, or too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature is missing, wrong or too old")]
pub struct SignatureInvalid;

/// A body whose signature is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    key: Option<String>,
    may_be_body_id: bool,
}

impl Verified {
    /// The idempotency key: from the scheme's header. For Stripe, the default is the body's `id`.
    pub fn key(self, body_id: impl FnOnce() -> Option<String>) -> Option<String> {
        let is_key = |key: &String| {
            (1..=KEY_CHARS_MAX).contains(&key.chars().count()) && !key.chars().any(char::is_control)
        };
        let body_id = || if self.may_be_body_id { body_id() } else { None };
        self.key
            .clone()
            .filter(is_key)
            .or_else(|| body_id().filter(is_key))
    }
}

/// Verifies a webhook's raw body.
///
/// # Errors
/// When the request has no signature, or the deciding scheme's signature is invalid at `now`.
pub fn verify(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &WebhookSecrets,
    now: Timestamp,
) -> Result<Verified, SignatureInvalid> {
    let has_header = |name: &str| headers.contains_key(name);
    if ["webhook-id", "webhook-timestamp", "webhook-signature"]
        .into_iter()
        .any(has_header)
    {
        verify_standard(headers, body, secrets, now)
    } else if has_header("stripe-signature") {
        verify_stripe(headers, body, secrets, now)
    } else {
        verify_plain(headers, body, secrets)
    }
}

fn verify_standard(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &WebhookSecrets,
    now: Timestamp,
) -> Result<Verified, SignatureInvalid> {
    let (id, time) = (
        single(headers, "webhook-id")?,
        single(headers, "webhook-timestamp")?,
    );
    check_time(time, now)?;
    let listed = single(headers, "webhook-signature")?
        .split(' ')
        .take(SIGNATURES_MAX);
    let digests = listed
        .filter_map(|signature| STANDARD.decode(signature.strip_prefix("v1,")?).ok())
        .collect::<Vec<_>>();
    let signed = [id.as_bytes(), b".", time.as_bytes(), b".", body];
    let is_valid = secrets.match_any(|key| key.decoded.as_deref(), &signed, &digests);
    if is_valid {
        Ok(Verified {
            key: Some(id.to_owned()),
            may_be_body_id: false,
        })
    } else {
        Err(SignatureInvalid)
    }
}

fn verify_stripe(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &WebhookSecrets,
    now: Timestamp,
) -> Result<Verified, SignatureInvalid> {
    let fields = single(headers, "stripe-signature")?
        .split(',')
        .take(SIGNATURES_MAX);
    let fields: Vec<_> = fields
        .filter_map(|field| field.trim().split_once('='))
        .collect();
    let time = fields
        .iter()
        .find(|(name, _)| *name == "t")
        .map(|(_, time)| *time)
        .ok_or(SignatureInvalid)?;
    check_time(time, now)?;
    let listed = fields.iter().filter(|(name, _)| *name == "v1");
    let digests = listed
        .filter_map(|(_, digest)| hex::decode(digest).ok())
        .collect::<Vec<_>>();
    let is_valid = secrets.match_any(
        |key| Some(&key.whole),
        &[time.as_bytes(), b".", body],
        &digests,
    );
    if is_valid {
        Ok(Verified {
            key: idempotency_key(headers),
            may_be_body_id: true,
        })
    } else {
        Err(SignatureInvalid)
    }
}

fn verify_plain(
    headers: &HeaderMap,
    body: &[u8],
    secrets: &WebhookSecrets,
) -> Result<Verified, SignatureInvalid> {
    let signature = single(headers, "x-webhook-signature")?;
    let digest = hex::decode(signature.strip_prefix("sha256=").unwrap_or(signature))
        .map_err(|_| SignatureInvalid)?;
    let is_valid = secrets.match_any(|key| Some(&key.whole), &[body], &[digest]);
    if is_valid {
        Ok(Verified {
            key: idempotency_key(headers),
            may_be_body_id: false,
        })
    } else {
        Err(SignatureInvalid)
    }
}

/// The value of a header that must be there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &str) -> Result<&'a str, SignatureInvalid> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| SignatureInvalid),
        _ => Err(SignatureInvalid),
    }
}

fn idempotency_key(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(IDEMPOTENCY_KEY)?;
    std::str::from_utf8(value.as_bytes())
        .ok()
        .map(str::to_owned)
}

fn check_time(unix_seconds: &str, now: Timestamp) -> Result<(), SignatureInvalid> {
    let is_number = unix_seconds.bytes().all(|byte| byte.is_ascii_digit());
    let time: i64 = unix_seconds
        .parse()
        .ok()
        .filter(|_| is_number)
        .ok_or(SignatureInvalid)?;
    let distance = time.abs_diff(now.0.div_euclid(1_000_000));
    if distance <= TOLERANCE_SECONDS {
        Ok(())
    } else {
        Err(SignatureInvalid)
    }
}

#[cfg(test)]
mod tests;
