//! `X-Request-Id`: the name by which a client, a proxy and our logs speak of one HTTP request.
//!
//! A client's own is kept when it is short and plain, so that nothing of it can upset a log; otherwise it gets one of
//! ours. It names the exchange and nothing of the business: commands have ids of their own.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

/// The header, in requests and in responses.
pub const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest that is kept, in bytes.
const BYTES_MAX: usize = 128;

/// Tells this process's requests from those of others.
static PROCESS: LazyLock<u64> = LazyLock::new(rand::random);
static COUNT: AtomicU64 = AtomicU64::new(0);

/// The request's id: its own, or a new one.
#[must_use]
pub fn of(headers: &HeaderMap) -> HeaderValue {
    match headers.get(X_REQUEST_ID) {
        Some(sent) if is_plain(sent.as_bytes()) => sent.clone(),
        _ => new(),
    }
}

fn is_plain(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte);
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(is_plain)
}

fn new() -> HeaderValue {
    let id = format!(
        "{:016x}-{}",
        *PROCESS,
        COUNT.fetch_add(1, Ordering::Relaxed)
    );
    // Digits are always fit for a header.
    HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(id: &str) -> HeaderMap {
        HeaderMap::from_iter([(X_REQUEST_ID, HeaderValue::try_from(id).unwrap())])
    }

    #[test]
    fn a_short_and_plain_id_is_kept() {
        for id in [
            "7f3a",
            "3f6e1b52-9f9d-4a53-8f43-5a2c6c1f0b7e",
            "Root=1-67891233-abcdef012345678912345678",
        ] {
            assert_eq!(of(&sent(id)), id);
        }
    }

    #[test]
    fn any_other_is_replaced_by_one_that_nobody_else_has() {
        let long = "a".repeat(BYTES_MAX + 1);
        for id in ["", " ", "a b", "{\"a\":1}", "\u{202e}", long.as_str()] {
            let made = of(&sent(id));
            assert!(
                made != id && is_plain(made.as_bytes()),
                "{id:?} became {made:?}"
            );
        }
        assert_ne!(of(&HeaderMap::new()), of(&HeaderMap::new()));
    }
}
