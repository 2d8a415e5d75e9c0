//! Tells every ingress once a second how this worker's work goes, for operators who look at the console.
//!
//! The same is counted for Prometheus in [`crate::observe::metrics`], where it can't be read back. Added to once a batch; nothing is
//! decided by it, and what is not told is told a second later.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_common::messages::worker_stats::{Backlog, Work};
use holdfast_common::metrics::SECONDS;
use holdfast_common::partition::Partition;
use tokio_util::sync::CancellationToken;

use crate::Worker;

/// The pause between two messages.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What this process has done since it began.
pub(crate) static TALLY: Tally = Tally::new();

/// How many envelopes of a partition are not applied.
pub(crate) type Envelopes = Arc<AtomicU64>;

/// What is told.
pub(crate) struct Tally {
    batches: AtomicU64,
    commands: AtomicU64,
    mismatches: AtomicU64,
    expired: [AtomicU64; SECONDS.len() + 1],
    expired_late_micros: AtomicU64,
    backlogs: Mutex<BTreeMap<u16, Envelopes>>,
}

impl Tally {
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

    /// Counts a batch that was applied.
    pub(crate) fn batch(&self, commands: u64, mismatches: u64) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands, Ordering::Relaxed);
        self.mismatches.fetch_add(mismatches, Ordering::Relaxed);
    }

    /// Counts a hold or an order that was ended for its time, so many microseconds late.
    pub(crate) fn expired(&self, late_micros: u64) {
        let seconds = late_micros as f64 / 1e6;
        let at = SECONDS
            .iter()
            .position(|most| seconds <= *most)
            .unwrap_or(SECONDS.len());
        self.expired[at].fetch_add(1, Ordering::Relaxed);
        self.expired_late_micros
            .fetch_add(late_micros, Ordering::Relaxed);
    }

    fn backlogs(&self) -> MutexGuard<'_, BTreeMap<u16, Envelopes>> {
        // Each change is one call, so a panic elsewhere leaves it whole.
        self.backlogs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A partition is ours.
    pub(crate) fn begin(&self, partition: Partition) -> Envelopes {
        let envelopes = Envelopes::default();
        self.backlogs().insert(partition.0, Arc::clone(&envelopes));
        envelopes
    }

    /// It is no longer ours, unless it was begun anew meanwhile.
    pub(crate) fn end(&self, partition: Partition, envelopes: &Envelopes) {
        let mut backlogs = self.backlogs();
        if backlogs
            .get(&partition.0)
            .is_some_and(|last| Arc::ptr_eq(last, envelopes))
        {
            backlogs.remove(&partition.0);
        }
    }

    fn work(&self, worker: &Worker) -> Work {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let backlog = |(partition, envelopes): (&u16, &Envelopes)| Backlog {
            partition: *partition,
            envelopes: envelopes.load(Ordering::Relaxed),
        };
        let idle = worker.pool.num_idle() as u32;
        Work {
            owner: worker.owner.clone(),
            backlogs: self.backlogs().iter().map(backlog).collect(),
            batches: of(&self.batches),
            commands: of(&self.commands),
            mismatches: of(&self.mismatches),
            expired: self.expired.iter().map(of).collect(),
            expired_late_micros: of(&self.expired_late_micros),
            connections_used: worker.pool.size().saturating_sub(idle),
            connections_idle: idle,
        }
    }
}

/// Tells it until the process stops.
pub(crate) async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let subject = async_nats::Subject::from(worker.settings.nats.subjects.work());
    let mut turn = tokio::time::interval(TELL_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        if let Err(error) = worker
            .nats
            .publish(subject.clone(), TALLY.work(&worker).encode().into())
            .await
        {
            tracing::debug!(%error, "ingresses were not told how work goes");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ended_late_is_counted_by_how_late_and_a_partition_that_was_taken_again_stays() {
        let tally = Tally::new();
        for micros in [500, 501, 130_000_000] {
            tally.expired(micros);
        }
        let counts: Vec<_> = tally
            .expired
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .collect();
        assert_eq!(
            (
                counts[0],
                counts[1],
                counts[SECONDS.len()],
                counts.iter().sum::<u64>()
            ),
            (1, 1, 1, 3)
        );

        let first = tally.begin(Partition(3));
        let second = tally.begin(Partition(3));
        tally.end(Partition(3), &first);
        assert!(tally.backlogs().contains_key(&3));
        tally.end(Partition(3), &second);
        assert!(tally.backlogs().is_empty());
    }
}
