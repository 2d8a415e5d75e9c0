//! Personal data at rest: customers and payments, sealed by a ring of keys (`ENCRYPTION_KEYS`).
//!
//! The decision works on plain text. Values are sealed where they are written to a table or the log, and opened where they
//! are read: nothing else knows of it. A sealed value says by which key of the ring it is; the first key seals, all open.
//! What has to be found again is found by a blind index, which comes from a key of its own that never changes. Without
//! keys everything is the plain text, and costs nothing. Next: [`mod@check`], whether a database and a ring belong together.

pub mod check;
mod keyring;
mod outcomes;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use uuid::Uuid;

pub use self::keyring::{KEYS_MAX, Keyring, KeyringError};
use crate::command::IdempotencyKey;

/// What a sealed text begins with. No client can send one: control characters are refused.
pub const MARK: char = '\u{1}';
/// How long a nonce is, in bytes.
const NONCE_BYTES: usize = 12;
/// How much of an HMAC is kept as an index, in bytes: two texts of a billion have the same once in 10^20 times.
const INDEX_BYTES: usize = 16;

/// What a value is. It is authenticated with the value, so that one kind can't be passed off as another; so is the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who buys.
    CustomerId = 1,
    /// A payment, as its provider names it.
    PaymentId = 2,
    /// A command that is kept in a table.
    Command = 3,
    /// The commands of an envelope.
    Envelope = 4,
}

/// Says why a value can't be opened. Names keys, which are no secret, and never a value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// We have no keys at all.
    #[error(
        "it is sealed: set ENCRYPTION_KEYS and ENCRYPTION_INDEX_KEY as the other programs have them"
    )]
    NoKeys,
    /// We lack the key.
    #[error("it is sealed by the key `{key}`, which ENCRYPTION_KEYS lacks: add that key")]
    UnknownKey {
        /// The key's name.
        key: String,
    },
    /// The key does not open it.
    #[error(
        "the key `{key}` does not open it: ENCRYPTION_KEYS has another key by that name, or the value was changed"
    )]
    Refused {
        /// The key's name.
        key: String,
    },
    /// It has not the form of a sealed value.
    #[error("it begins as a sealed value and is none")]
    Malformed,
}

impl From<SealError> for sqlx::Error {
    fn from(error: SealError) -> Self {
        Self::Decode(Box::new(error))
    }
}

impl Keyring {
    /// What stands for a text where it has to be found again: its blind index, or without keys itself.
    #[must_use]
    pub fn index<'t>(&self, kind: Kind, text: &'t str) -> Cow<'t, str> {
        match self.keys() {
            None => Cow::Borrowed(text),
            Some(keys) => {
                Cow::Owned(URL_SAFE_NO_PAD.encode(keys.blind(&[kind as u8], text.as_bytes())))
            }
        }
    }

    /// A text of a row, sealed; nothing without keys.
    #[must_use]
    pub fn seal_text(&self, kind: Kind, row: Uuid, text: &str) -> Option<String> {
        let keys = self.keys()?;
        let (name, sealed) = keys.seal(&context(kind, row.as_bytes()), text.as_bytes());
        Some(format!("{MARK}{name}:{}", STANDARD_NO_PAD.encode(sealed)))
    }

    /// The text of a row as it was before it was sealed. One that never was is itself.
    ///
    /// # Errors
    /// When no key opens it.
    pub fn open_text(&self, kind: Kind, row: Uuid, text: String) -> Result<String, SealError> {
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

    /// Whether a text is sealed by the key that seals.
    #[must_use]
    pub fn has_sealed(&self, text: &str) -> bool {
        let by = text
            .strip_prefix(MARK)
            .and_then(|sealed| sealed.split_once(':'));
        by.is_some_and(|(name, _)| Some(name) == self.first())
    }

    /// Appends bytes, sealed, to what is written already. Says whether there are keys; otherwise nothing is appended.
    pub fn seal_bytes(
        &self,
        kind: Kind,
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

    /// Opens what [`Self::seal_bytes`] wrote.
    ///
    /// # Errors
    /// When no key opens it.
    pub fn open_bytes(
        &self,
        kind: Kind,
        beside: &[u8],
        sealed: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let (name, sealed) = split_name(sealed)?;
        self.open(name, &context(kind, beside), sealed)
    }

    /// Whether bytes are sealed by the key that seals.
    #[must_use]
    pub fn has_sealed_bytes(&self, sealed: &[u8]) -> bool {
        split_name(sealed).is_ok_and(|(name, _)| Some(name) == self.first())
    }

    /// An idempotency key from which nobody without the index key can guess what a client wrote; without keys itself.
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

/// What is authenticated with a value.
fn context(kind: Kind, beside: &[u8]) -> Vec<u8> {
    [&[kind as u8], beside].concat()
}

#[cfg(test)]
mod tests;
