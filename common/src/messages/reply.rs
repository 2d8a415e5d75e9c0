//! Replies: the outcomes of a batch, sent to the ingress that published the commands.
//!
//! A worker sends a reply after the commit, never before. A reply may be lost: the ingress then reads the row, which counts.
//! A message is a version byte and the replies one after another to the end.

use serde::{Deserialize, Serialize};

use crate::id::RequestId;
use crate::messages::wire::{self, DecodeError};
use crate::outcome::Outcome;

const VERSION: u8 = 1;
/// A message of this size gets no more replies, and so stays well below the 1 MiB limit of NATS.
const REPLIES_BYTES_MAX: usize = 512 * 1024;

/// A running ingress process; random, drawn at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct IngressId(pub u64);

/// The outcome of one command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    pub request_id: RequestId,
    /// Whether the outcome is that of an earlier command with the same idempotency key.
    pub replayed: bool,
    pub outcome: Outcome,
}

/// Writes replies into as few messages as their size allows.
#[must_use]
pub fn encode<'a>(replies: impl IntoIterator<Item = &'a Reply>) -> Vec<Vec<u8>> {
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for reply in replies {
        let open = match messages.pop() {
            Some(message) if message.len() < REPLIES_BYTES_MAX => message,
            full => {
                messages.extend(full);
                vec![VERSION]
            }
        };
        messages.push(wire::append(open, reply));
    }
    messages
}

/// Reads a message of replies.
///
/// # Errors
/// When the version is unknown or the message is damaged.
pub fn decode(message: &[u8]) -> Result<Vec<Reply>, DecodeError> {
    let mut rest = wire::body(message, VERSION)?;
    let mut replies = Vec::new();
    while !rest.is_empty() {
        let (reply, behind) = postcard::take_from_bytes(rest)?;
        replies.push(reply);
        rest = behind;
    }
    Ok(replies)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ProductId;
    use crate::outcome::Refusal;

    #[test]
    fn many_replies_are_split_and_keep_their_order() {
        let slot = ProductId(1).slot();
        let outcome = Outcome::Refused(Refusal::InsufficientStock { available_stock: 3 });
        let reply = |number| Reply {
            request_id: RequestId::new(slot, 0, number),
            replayed: false,
            outcome: outcome.clone(),
        };
        let replies: Vec<_> = (0..60_000).map(reply).collect();
        let messages = encode(&replies);
        assert!(messages.len() > 1 && messages.iter().all(|message| message.len() < 1024 * 1024));
        let read: Vec<_> = messages
            .iter()
            .flat_map(|message| decode(message).unwrap())
            .collect();
        assert_eq!(read, replies);
    }

    #[test]
    fn bytes_of_a_reply_never_change() {
        let outcome = Outcome::Refused(Refusal::InsufficientStock { available_stock: 3 });
        let request_id = RequestId::new(ProductId(1).slot(), 0x0123_4567_89ab, 42);
        let messages = encode(&[Reply {
            request_id,
            replayed: true,
            outcome,
        }]);
        assert_eq!(
            hex::encode(messages.concat()),
            "01100123456789ab8cc1800000000000002a01040106"
        );
    }
}
