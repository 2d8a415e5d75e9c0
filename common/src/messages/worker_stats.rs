//! Work: what each worker tells every ingress once a second of how its work goes, for operators to see.
//!
//! Counts run from the worker's beginning, so a message that is lost loses nothing. Like news, all of it is a hint: nothing
//! is decided by it. It has a subject of its own, so that an ingress of another version is not disturbed.

use serde::{Deserialize, Serialize};

use crate::messages::wire::{self, DecodeError};

const VERSION: u8 = 1;

/// How one worker's work goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Work {
    /// The worker, as the partitions that it has name their owner.
    pub owner: String,
    /// Its partitions.
    pub backlogs: Vec<Backlog>,
    /// Batches that it has applied.
    pub batches: u64,
    /// The commands in them.
    pub commands: u64,
    /// Payments that were not what their orders cost.
    pub mismatches: u64,
    /// Holds and orders that it has ended for their time, by how late: for each of
    /// [`SECONDS`](crate::metrics::SECONDS) those within it and above the one before, and at last those above all.
    pub expired: Vec<u64>,
    /// How late all of them were together, in microseconds.
    pub expired_late_micros: u64,
    /// Its connections to Postgres that are in use.
    pub connections_used: u32,
    /// Those that are idle.
    pub connections_idle: u32,
}

/// What waits in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backlog {
    /// The partition's number.
    pub partition: u16,
    /// Envelopes that are not applied, as the worker saw when it read the log last.
    pub envelopes: u64,
}

impl Work {
    /// The message.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self, VERSION)
    }

    /// Reads a message.
    ///
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
    fn the_bytes_of_work_never_change() {
        let work = Work {
            owner: "a:1:b".to_owned(),
            backlogs: vec![
                Backlog {
                    partition: 300,
                    envelopes: 2,
                },
                Backlog {
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
        let bytes = work.encode();
        assert_eq!(
            hex::encode(&bytes),
            "0105613a313a6202ac0202030004f4030103000607c0843d0206"
        );
        assert_eq!(Work::decode(&bytes), Ok(work));
    }
}
