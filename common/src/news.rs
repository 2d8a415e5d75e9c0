//! News: what a worker tells every ingress after a commit.
//!
//! How far a partition has come, and the newest state of each product that changed. Like replies, news is a hint: it
//! may be lost, and grants nothing.

use serde::{Deserialize, Serialize};

use crate::outcome::ProductAsOf;
use crate::time::Timestamp;
use crate::wire::{self, DecodeError};

const VERSION: u8 = 1;

/// What happened in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The partition's number.
    pub partition: u16,
    /// When the log's stream was created: sequences of different streams can't be compared.
    pub stream_created: Timestamp,
    /// The last log sequence whose effects are committed.
    pub applied_seq: u64,
    /// Whether a worker has just taken the partition: news of its predecessor may have been lost.
    pub taken_over: bool,
    /// The products that changed.
    pub products: Vec<ProductAsOf>,
}

/// Writes a message.
#[must_use]
pub fn encode(news: &News) -> Vec<u8> {
    wire::encode(news, VERSION)
}

/// Reads a message.
///
/// # Errors
/// When its version is unknown or it is damaged.
pub fn decode(message: &[u8]) -> Result<News, DecodeError> {
    wire::decode(message, VERSION)
}
