//! Encryption of personal data at rest: `customer_id` and `payment_id`, with the keys of `ENCRYPTION_KEYS`.
//!
//! Decisions work on plain text. The code that writes to a table or to the log encrypts (seals) the values, and the code that
//! reads them decrypts (opens) them. A sealed value contains the name of its key: the first key seals, every key opens.
//! Columns that are searched hold a blind index instead, an HMAC with a separate key that never changes. Without keys
//! all values stay plain text, at no cost. Next: [`mod@check`] checks that a keyring belongs to a database.

pub mod check;
mod keyring;
mod outcomes;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use uuid::Uuid;

pub use self::keyring::{KEYS_MAX, Keyring, KeyringError};
use crate::command::IdempotencyKey;

/// The first character of a sealed text. A client can't send it, because control characters are refused.
pub const MARK: char = '\u{1}';
/// Length of a nonce, in bytes.
const NONCE_BYTES: usize = 12;
/// Length of a blind index, in bytes. Among 10^9 texts the probability that two have the same index is below 10^-20.
const INDEX_BYTES: usize = 16;

/// The kind of a sealed value. The cipher authenticates it together with the row, so that a sealed value can't be moved to
/// another column or row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum SealedKind {
    CustomerId = 1,
    PaymentId = 2,
    /// The command of a dead letter.
    Command = 3,
    /// The commands of an envelope.
    Envelope = 4,
}

/// A value can't be decrypted. The message names keys, whose names are not secret, but never the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    #[error(
        "it is encrypted: set ENCRYPTION_KEYS and ENCRYPTION_INDEX_KEY to the values of the other programs"
    )]
    NoKeys,
    #[error("it is encrypted with the key `{key}`, which ENCRYPTION_KEYS lacks: add that key")]
    UnknownKey { key: String },
    #[error(
        "the key `{key}` does not decrypt it: ENCRYPTION_KEYS has a different key with that name, or the value was changed"
    )]
    Refused { key: String },
    #[error("it begins like an encrypted value, but is malformed")]
    Malformed,
}

impl From<SealError> for sqlx::Error {
    fn from(error: SealError) -> Self {
        Self::Decode(Box::new(error))
    }
}

impl Keyring {
    /// The text to store in a column that is searched: the blind index, or without keys the text itself.
    #[must_use]
    pub fn index<'t>(&self, kind: SealedKind, text: &'t str) -> Cow<'t, str> {
        match self.keys() {
            None => Cow::Borrowed(text),
            Some(keys) => {
                Cow::Owned(URL_SAFE_NO_PAD.encode(keys.blind(&[kind as u8], text.as_bytes())))
            }
        }
    }

    /// Seals a text of a row. Returns `None` without keys.
    #[must_use]
    pub fn seal_text(&self, kind: SealedKind, row: Uuid, text: &str) -> Option<String> {
        let keys = self.keys()?;
        let (name, sealed) = keys.seal(&context(kind, row.as_bytes()), text.as_bytes());
        Some(format!("{MARK}{name}:{}", STANDARD_NO_PAD.encode(sealed)))
    }

    /// Opens a text of a row. Returns a text that is not sealed unchanged.
    ///
    /// # Errors
    /// When no key opens it.
    pub fn open_text(
        &self,
        kind: SealedKind,
        row: Uuid,
        text: String,
    ) -> Result<String, SealError> {
        let Some(sealed) = text.strip_prefix(MARK) else {
            return Ok(text);
        };
        let (name, sealed) = sealed.split_once(':').ok_or(SealError::Malformed)?;
        let sealed = STANDARD_NO_PAD
            .decode(sealed)
            .map_err(|_| SealError::Malformed)?;
        let opened = self.open(name, &context(kind, row.as_bytes()), &sealed)?;
        String::from_utf8(opened).map_err(|_| SealError::Malformed)
    }

    /// Whether a text is sealed with the first key.
    #[must_use]
    pub fn has_sealed(&self, text: &str) -> bool {
        let by = text
            .strip_prefix(MARK)
            .and_then(|sealed| sealed.split_once(':'));
        by.is_some_and(|(name, _)| Some(name) == self.first())
    }

    /// Seals bytes and appends them to `written`. Without keys it appends nothing and returns false.
    pub fn seal_bytes(
        &self,
        kind: SealedKind,
        beside: &[u8],
        plain: &[u8],
        written: &mut Vec<u8>,
    ) -> bool {
        let Some(keys) = self.keys() else {
            return false;
        };
        let (name, sealed) = keys.seal(&context(kind, beside), plain);
        // A name has 32 characters at most.
        written.push(name.len() as u8);
        written.extend_from_slice(name.as_bytes());
        written.extend_from_slice(&sealed);
        true
    }

    /// Opens bytes of [`Self::seal_bytes`].
    ///
    /// # Errors
    /// When no key opens it.
    pub fn open_bytes(
        &self,
        kind: SealedKind,
        beside: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (name, sealed) = split_name(sealed)?;
        self.open(name, &context(kind, beside), sealed)
    }

    /// Whether bytes are sealed with the first key.
    #[must_use]
    pub fn has_sealed_bytes(&self, sealed: &[u8]) -> bool {
        split_name(sealed).is_ok_and(|(name, _)| Some(name) == self.first())
    }

    /// Replaces both hashes of an idempotency key by HMACs, so that nobody without the index key can guess the hashed texts.
    /// Returns the key unchanged without keys.
    #[must_use]
    pub fn blind(&self, key: IdempotencyKey) -> IdempotencyKey {
        let Some(keys) = self.keys() else { return key };
        IdempotencyKey {
            hash: keys.blind(b"key", &key.hash),
            fingerprint: keys.blind(b"fingerprint", &key.fingerprint),
        }
    }

    fn open(&self, name: &str, context: &[u8], sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        self.keys()
            .ok_or(SealError::NoKeys)?
            .open(name, context, sealed)
    }
}

fn split_name(sealed: &[u8]) -> Result<(&str, &[u8]), SealError> {
    let (length, rest) = sealed.split_first().ok_or(SealError::Malformed)?;
    let (name, sealed) = rest
        .split_at_checked(usize::from(*length))
        .ok_or(SealError::Malformed)?;
    Ok((
        std::str::from_utf8(name).map_err(|_| SealError::Malformed)?,
        sealed,
    ))
}

/// The bytes that the cipher authenticates together with a value.
fn context(kind: SealedKind, beside: &[u8]) -> Vec<u8> {
    [&[kind as u8], beside].concat()
}

#[cfg(test)]
mod tests;
