//! Worker statistics: each worker sends them to every ingress once a second, for operators to see.
//!
//! Counts start with the worker process and only rise, so the next message makes up for a lost one. Like news, statistics are
//! a hint: no decision depends on them. They have a subject of their own, so that an ingress of another version ignores them.

use serde::{Deserialize, Serialize};

use crate::messages::wire::{self, DecodeError};

const VERSION: u8 = 1;

/// One worker's statistics.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatsMessage {
    /// The worker, as in the column `owner` of its partitions.
    pub owner: String,
    pub backlogs: Vec<PartitionBacklog>,
    /// Batches applied.
    pub batches: u64,
    /// Commands in these batches.
    pub commands: u64,
    /// Payments whose amount or currency differed from the order's.
    pub mismatches: u64,
    /// Holds and orders that were ended because they were due, by delay. One count for each bucket of
    /// [`SECONDS`](crate::metrics::SECONDS), and a last one for longer delays.
    pub expired: Vec<u64>,
    /// The sum of these delays, in microseconds.
    pub expired_late_micros: u64,
    /// Connections to Postgres in use.
    pub connections_used: u32,
    /// Idle connections to Postgres.
    pub connections_idle: u32,
}

/// The log entries of one partition that are not applied yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionBacklog {
    pub partition: u16,
    /// Envelopes that were not applied when the worker last read the log.
    pub envelopes: u64,
}

impl WorkerStatsMessage {
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self, VERSION)
    }

    /// # Errors
    /// When its version is unknown or it is damaged.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(message, VERSION)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_worker_stats_never_change() {
        let stats = WorkerStatsMessage {
            owner: "a:1:b".to_owned(),
            backlogs: vec![
                PartitionBacklog {
                    partition: 300,
                    envelopes: 2,
                },
                PartitionBacklog {
                    partition: 3,
                    envelopes: 0,
                },
            ],
            batches: 4,
            commands: 500,
            mismatches: 1,
            expired: vec![0, 6, 7],
            expired_late_micros: 1_000_000,
            connections_used: 2,
            connections_idle: 6,
        };
        let bytes = stats.encode();
        assert_eq!(
            hex::encode(&bytes),
            "0105613a313a6202ac0202030004f4030103000607c0843d0206"
        );
        assert_eq!(WorkerStatsMessage::decode(&bytes), Ok(stats));
    }
}
