//! News: messages of a worker to every ingress, after each commit and a few times a second.
//!
//! After a commit, news contains the partition's position in the log and the new state of each changed product. Between
//! commits, one heartbeat for all partitions of the worker confirms that nothing has changed. Like replies, both are hints:
//! they may be lost, and grant nothing. The news of each owner of a partition is numbered, so a receiver detects a loss.

use serde::{Deserialize, Serialize};

use crate::messages::wire::{self, DecodeError};
use crate::outcome::ProductAsOf;
use crate::time::Timestamp;

const VERSION: u8 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NewsMessage {
    /// A batch of a partition was committed.
    News(News),
    /// No batch was committed since the last news.
    Heartbeat(Heartbeat),
}

/// The state of a partition, as its owner reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    pub partition: u16,
    /// The epoch of the partition's owner. A later owner has a higher epoch.
    pub epoch: i64,
    /// The number of the owner's last news about this partition, counted from 1 without gaps. A heartbeat repeats the last
    /// number.
    pub number: u64,
    /// No hold or order of the partition is due before this time of Postgres's clock; `None` when the time is unknown.
    pub clear_until: Option<Timestamp>,
}

/// The changes of a committed batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    pub pulse: Pulse,
    /// When the log's stream was created: sequences of different streams can't be compared.
    pub stream_created: Timestamp,
    /// The last log sequence whose effects are committed.
    pub applied_seq: u64,
    /// The products that changed.
    pub products: Vec<ProductAsOf>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// A time that Postgres's clock has passed.
    pub now: Timestamp,
    pub partitions: Vec<Pulse>,
}

#[must_use]
pub fn encode(message: &NewsMessage) -> Vec<u8> {
    wire::encode(message, VERSION)
}

/// # Errors
/// When its version is unknown or it is damaged.
pub fn decode(message: &[u8]) -> Result<NewsMessage, DecodeError> {
    wire::decode(message, VERSION)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Product, Stock};
    use crate::id::ProductId;

    fn assert_bytes(message: &NewsMessage, golden: &str) {
        let bytes = encode(message);
        assert_eq!(hex::encode(&bytes), golden);
        assert_eq!(decode(&bytes).as_ref(), Ok(message));
    }

    #[test]
    fn bytes_of_news_never_change() {
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
            &NewsMessage::News(news),
            "0200ac020a010010c8010102044c616d709e1f0345555214060a0408010200010e0c1280897a",
        );
    }

    #[test]
    fn bytes_of_a_heartbeat_never_change() {
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
            &NewsMessage::Heartbeat(heartbeat),
            "020180897a0200020201060f080500",
        );
    }
}
