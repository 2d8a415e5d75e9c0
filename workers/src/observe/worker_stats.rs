//! Statistics of this worker, sent to every ingress once a second for the console.
//!
//! [`crate::observe::metrics`] counts the same for Prometheus, but a program can't read its own metrics back. The counters
//! grow once a batch, and nothing is decided by them. A lost message is replaced by the next one.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::{Client, Subject};
use holdfast_common::messages::worker_stats::{PartitionBacklog, WorkerStatsMessage};
use holdfast_common::metrics::SECONDS;
use holdfast_common::partition::Partition;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

const SEND_EVERY: Duration = Duration::from_secs(1);

/// The statistics since the start of the process.
pub(crate) static WORKER_STATS: WorkerStats = WorkerStats::new();

/// The number of envelopes of a partition that are not applied.
pub(crate) type EnvelopeCount = Arc<AtomicU64>;

pub(crate) struct WorkerStats {
    batches: AtomicU64,
    commands: AtomicU64,
    mismatches: AtomicU64,
    /// Holds and orders that expired, by their delay: one bucket for each bound of `SECONDS`, and one above.
    expired: [AtomicU64; SECONDS.len() + 1],
    expired_late_micros: AtomicU64,
    backlogs: Mutex<BTreeMap<u16, EnvelopeCount>>,
}

impl WorkerStats {
    const fn new() -> Self {
        Self {
            batches: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            mismatches: AtomicU64::new(0),
            expired: [const { AtomicU64::new(0) }; SECONDS.len() + 1],
            expired_late_micros: AtomicU64::new(0),
            backlogs: Mutex::new(BTreeMap::new()),
        }
    }

    pub(crate) fn count_batch(&self, commands: u64, mismatches: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
        self.mismatches.fetch_add(mismatches, Ordering::Relaxed);
    }

    /// Counts a hold or an order that was ended this long after its due time.
    pub(crate) fn count_expired(&self, late_micros: u64) {
        let seconds = late_micros as f64 / 1e6;
        let bucket = SECONDS
            .iter()
            .position(|bound| seconds <= *bound)
            .unwrap_or(SECONDS.len());
        self.expired[bucket].fetch_add(1, Ordering::Relaxed);
        self.expired_late_micros
            .fetch_add(late_micros, Ordering::Relaxed);
    }

    fn backlogs(&self) -> MutexGuard<'_, BTreeMap<u16, EnvelopeCount>> {
        // Each change is one call, so a panic elsewhere leaves the map consistent.
        self.backlogs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a partition that this worker has taken.
    pub(crate) fn add_partition(&self, partition: Partition) -> EnvelopeCount {
        let envelopes = EnvelopeCount::default();
        self.backlogs().insert(partition.0, Arc::clone(&envelopes));
        envelopes
    }

    /// Removes a partition, unless the worker has taken it again meanwhile.
    pub(crate) fn remove_partition(&self, partition: Partition, envelopes: &EnvelopeCount) {
        let mut backlogs = self.backlogs();
        if backlogs
            .get(&partition.0)
            .is_some_and(|last| Arc::ptr_eq(last, envelopes))
        {
            backlogs.remove(&partition.0);
        }
    }

    fn message(&self, owner: &str, pool: &PgPool) -> WorkerStatsMessage {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let backlog = |(partition, envelopes): (&u16, &EnvelopeCount)| PartitionBacklog {
            partition: *partition,
            envelopes: read(envelopes),
        };
        let idle = pool.num_idle() as u32;
        WorkerStatsMessage {
            owner: owner.to_owned(),
            backlogs: self.backlogs().iter().map(backlog).collect(),
            batches: read(&self.batches),
            commands: read(&self.commands),
            mismatches: read(&self.mismatches),
            expired: self.expired.iter().map(read).collect(),
            expired_late_micros: read(&self.expired_late_micros),
            connections_used: pool.size().saturating_sub(idle),
            connections_idle: idle,
        }
    }
}

/// Sends the statistics until the process stops.
pub(crate) async fn run(
    nats: Client,
    subject: Subject,
    owner: String,
    pool: PgPool,
    stop: CancellationToken,
) {
    let mut turn = tokio::time::interval(SEND_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        let message = WORKER_STATS.message(&owner, &pool).encode();
        if let Err(error) = nats.publish(subject.clone(), message.into()).await {
            tracing::debug!(%error, "sending the worker's statistics failed; they are sent again in a second");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expired_are_counted_by_delay() {
        let stats = WorkerStats::new();
        for micros in [500, 501, 130_000_000] {
            stats.count_expired(micros);
        }
        let counts = stats
            .expired
            .each_ref()
            .map(|count| count.load(Ordering::Relaxed));
        let sum = counts.iter().sum::<u64>();
        assert_eq!(
            (counts[0], counts[1], counts[SECONDS.len()], sum),
            (1, 1, 1, 3)
        );
    }

    #[test]
    fn partition_that_was_taken_again_is_not_removed() {
        let stats = WorkerStats::new();
        let first = stats.add_partition(Partition(3));
        let second = stats.add_partition(Partition(3));
        stats.remove_partition(Partition(3), &first);
        assert!(stats.backlogs().contains_key(&3));
        stats.remove_partition(Partition(3), &second);
        assert!(stats.backlogs().is_empty());
    }
}
