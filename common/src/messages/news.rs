//! News: what a worker tells every ingress, after a commit and a few times a second.
//!
//! After a commit: how far a partition has come, and the newest state of each product that changed. In between, one
//! heartbeat for all partitions of the worker: nothing has changed since. Like replies, both are hints. They may be lost,
//! and grant nothing. But who hears them can tell whether some were lost, since the news of each owner of a partition is
//! numbered.

use serde::{Deserialize, Serialize};

use crate::messages::wire::{self, DecodeError};
use crate::outcome::ProductAsOf;
use crate::time::Timestamp;

const VERSION: u8 = 2;

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// Something happened in a partition.
    News(News),
    /// Nothing has happened that was not told.
    Heartbeat(Heartbeat),
}

/// A partition, as its owner knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// The partition's number.
    pub partition: u16,
    /// Which owner of the partition says so. Of two, the higher one is the younger.
    pub epoch: i64,
    /// How much news of the partition this owner has sent, counted from 1 and without gaps. News counts itself; a
    /// heartbeat names the last.
    pub number: u64,
    /// No hold or order of the partition falls due before this, by Postgres's clock. `None` when that is not known.
    pub clear_until: Option<Timestamp>,
}

/// What happened in a partition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// The partition.
    pub pulse: Pulse,
    /// When the log's stream was created: sequences of different streams can't be compared.
    pub stream_created: Timestamp,
    /// The last log sequence whose effects are committed.
    pub applied_seq: u64,
    /// The products that changed.
    pub products: Vec<ProductAsOf>,
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// What Postgres's clock has passed by now.
    pub now: Timestamp,
    /// The partitions of the worker.
    pub partitions: Vec<Pulse>,
}

/// Writes a message.
#[must_use]
pub fn encode(message: &Message) -> Vec<u8> {
    wire::encode(message, VERSION)
}

/// Reads a message.
///
/// # Errors
/// When its version is unknown or it is damaged.
pub fn decode(message: &[u8]) -> Result<Message, DecodeError> {
    wire::decode(message, VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Product, Stock};
    use crate::id::ProductId;

    fn assert_bytes(message: &Message, golden: &str) {
        let bytes = encode(message);
        assert_eq!(hex::encode(&bytes), golden);
        assert_eq!(decode(&bytes).as_ref(), Ok(message));
    }

    #[test]
    fn the_bytes_of_news_never_change() {
        let product = Product {
            id: ProductId(1),
            name: "Lamp".to_owned(),
            price_minor: 1999,
            currency: "EUR".parse().unwrap(),
            stock: Stock::from_stored(10, 3, 5, 2).unwrap(),
            holds_count: 4,
            max_per_customer: Some(2),
            sale_starts_at: None,
            sale_ends_at: Some(Timestamp(7)),
            hold_sequence: 6,
            version: 9,
        };
        let news = News {
            pulse: Pulse {
                partition: 300,
                epoch: 5,
                number: 1,
                clear_until: None,
            },
            stream_created: Timestamp(8),
            applied_seq: 200,
            products: vec![ProductAsOf {
                product,
                as_of: Timestamp(1_000_000),
            }],
        };
        assert_bytes(
            &Message::News(news),
            "0200ac020a010010c8010102044c616d709e1f0345555214060a0408010200010e0c1280897a",
        );
    }

    #[test]
    fn the_bytes_of_a_heartbeat_never_change() {
        let pulses = [
            Pulse {
                partition: 0,
                epoch: 1,
                number: 2,
                clear_until: Some(Timestamp(3)),
            },
            Pulse {
                partition: 15,
                epoch: 4,
                number: 5,
                clear_until: None,
            },
        ];
        let heartbeat = Heartbeat {
            now: Timestamp(1_000_000),
            partitions: pulses.to_vec(),
        };
        assert_bytes(
            &Message::Heartbeat(heartbeat),
            "020180897a0200020201060f080500",
        );
    }
}
