//! Parses the `Idempotency-Key` header: 1 to 255 printable characters.

use axum::http::HeaderMap;
use holdfast_common::command::{Action, IdempotencyKey};
use holdfast_common::encryption::Keyring;

use crate::http::problem::Problem;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_CHARS_MAX: usize = 255;

/// Whether a request has the header.
#[must_use]
pub fn is_keyed(headers: &HeaderMap) -> bool {
    headers.contains_key(IDEMPOTENCY_KEY)
}

/// The key of a request for an action, hashed so that it may be stored.
///
/// # Errors
/// 422 when the header is invalid.
pub fn key(
    headers: &HeaderMap,
    keys: &Keyring,
    action: &Action,
) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = std::str::from_utf8(value.as_bytes()).ok();
    let is_key = |text: &&str| {
        (1..=KEY_CHARS_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
    };
    match (text.filter(is_key), values.next()) {
        (Some(text), None) => Ok(Some(keys.blind(IdempotencyKey::new(text, action)))),
        _ => {
            let message =
                format!("must be sent once, with 1 to {KEY_CHARS_MAX} printable characters");
            Err(Problem::invalid_field("Idempotency-Key", message))
        }
    }
}
