//! The encoding of messages: a version byte, then postcard.
//!
//! postcard writes no names of fields or variants. So a type may only get new variants or fields at its end; any other change
//! needs a new version. Golden tests beside each message pin its bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encryption::SealError;

/// The reason why bytes can't be read as a message.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the message is empty")]
    Empty,
    /// A newer or unknown program wrote the message.
    #[error(
        "message version {found} is unknown: this program reads version {known}. Upgrade the older program"
    )]
    UnknownVersion { found: u8, known: u8 },
    #[error("the message is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    #[error("the message can't be opened: {0}")]
    Sealed(#[from] SealError),
}

/// A message that is a version byte and one value.
pub trait Message: Serialize + DeserializeOwned {
    /// The version that this program writes and reads.
    const VERSION: u8;

    fn encode(&self) -> Vec<u8> {
        encode(self, Self::VERSION)
    }

    /// # Errors
    /// When the version is unknown or the message is damaged.
    fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        decode(message, Self::VERSION)
    }
}

/// Checks the version byte, and returns the bytes after it.
///
/// # Errors
/// When the message is empty, or its version is not `known`.
pub fn body(message: &[u8], known: u8) -> Result<&[u8], DecodeError> {
    match message.split_first() {
        None => Err(DecodeError::Empty),
        Some((&found, body)) if found == known => Ok(body),
        Some((&found, _)) => Err(DecodeError::UnknownVersion { found, known }),
    }
}

/// Writes a version byte and one value.
pub fn encode<T: Serialize>(value: &T, version: u8) -> Vec<u8> {
    append(vec![version], value)
}

pub fn append<T: Serialize>(written: Vec<u8>, value: &T) -> Vec<u8> {
    // postcard fails when the buffer is full, which a `Vec` never is, or for a sequence of unknown length, which no message has.
    #[expect(clippy::expect_used)]
    postcard::to_extend(value, written).expect("writing to memory can't fail")
}

/// Reads a version byte and one value. No bytes may follow.
///
/// # Errors
/// When the version is unknown or the message is damaged.
pub fn decode<T: DeserializeOwned>(message: &[u8], version: u8) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(body(message, version)?)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(postcard::Error::DeserializeBadEncoding.into())
    }
}
