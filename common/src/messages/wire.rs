//! How messages are written: a version byte, then postcard.
//!
//! postcard names neither fields nor variants, so what stands in a message may only grow at its end, and anything else
//! needs a new version. Golden tests beside each message pin its bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encryption::SealError;

/// Says why bytes are not a message of ours.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The message is empty.
    #[error("the message is empty")]
    Empty,
    /// A newer or unknown program wrote it.
    #[error("message version {found} is unknown, this program reads {known}: upgrade it")]
    UnknownVersion {
        /// The version byte that was found.
        found: u8,
        /// The version this program writes.
        known: u8,
    },
    /// The bytes after the version make no message.
    #[error("the message is damaged: {0}")]
    Damaged(#[from] postcard::Error),
    /// It is sealed, and no key opens it.
    #[error("the message can't be opened: {0}")]
    Sealed(#[from] SealError),
}

/// A message that is one value behind its version byte.
pub trait Message: Serialize + DeserializeOwned {
    /// The version that this program writes and reads.
    const VERSION: u8;

    /// The message's bytes.
    fn encode(&self) -> Vec<u8> {
        encode(self, Self::VERSION)
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When its version is unknown or it is damaged.
    fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        decode(message, Self::VERSION)
    }
}

/// Splits the version byte from the rest and checks it.
///
/// # Errors
/// When there is none, or it is not `known`.
pub fn body(message: &[u8], known: u8) -> Result<&[u8], DecodeError> {
    match message.split_first() {
        None => Err(DecodeError::Empty),
        Some((&found, body)) if found == known => Ok(body),
        Some((&found, _)) => Err(DecodeError::UnknownVersion { found, known }),
    }
}

/// Writes one value behind its version byte.
pub fn encode<T: Serialize>(value: &T, version: u8) -> Vec<u8> {
    append(vec![version], value)
}

/// Appends one value to what is written already.
pub fn append<T: Serialize>(written: Vec<u8>, value: &T) -> Vec<u8> {
    // A `Vec` never runs out of room, and our types have no sequence of unknown length: postcard can't fail.
    #[expect(clippy::expect_used)]
    postcard::to_extend(value, written).expect("writing to memory can't fail")
}

/// Reads one value behind its version byte; nothing may follow it.
///
/// # Errors
/// When the version is unknown or the bytes are not such a value.
pub fn decode<T: DeserializeOwned>(message: &[u8], version: u8) -> Result<T, DecodeError> {
    let (value, rest) = postcard::take_from_bytes(body(message, version)?)?;
    if rest.is_empty() {
        Ok(value)
    } else {
        Err(postcard::Error::DeserializeBadEncoding.into())
    }
}
