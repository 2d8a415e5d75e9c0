//! The statistics that each worker publishes once a second, kept in memory for the console.
//!
//! The totals start at 0 with the ingress and only rise. They leave out a worker's counts before its first message, and keep
//! the counts of workers that are gone. These numbers must not decide anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use holdfast_common::messages::subjects::Subjects;
use holdfast_common::messages::worker_stats::WorkerStatsMessage;
use holdfast_common::metrics::SECONDS;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::connections::Connections;

/// A worker without a message for this time counts as gone.
const GONE_AFTER: Duration = Duration::from_secs(5);
/// Messages of more workers are ignored.
const WORKERS_MAX: usize = 1024;

/// The last statistics of each worker, and the totals of all.
#[derive(Debug, Default)]
pub struct WorkerStatsView(Mutex<ReceivedStats>);

#[derive(Debug, Default)]
struct ReceivedStats {
    workers: BTreeMap<String, (Instant, WorkerStatsMessage)>,
    totals: WorkerTotals,
}

/// Counts of all workers since the ingress started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerTotals {
    /// Applied batches.
    pub batches: u64,
    /// Commands in these batches.
    pub commands: u64,
    /// Payments whose amount or currency was not that of the order.
    pub mismatches: u64,
    /// Expired holds and orders, by delay, as [`WorkerStatsMessage::expired`].
    pub expired: [u64; SECONDS.len() + 1],
    /// The sum of their delays, in microseconds.
    pub expired_late_micros: u64,
}

impl WorkerTotals {
    fn add_rise(&mut self, now: &WorkerStatsMessage, before: &WorkerStatsMessage) {
        let rise = |now: u64, before: u64| now.saturating_sub(before);
        self.batches += rise(now.batches, before.batches);
        self.commands += rise(now.commands, before.commands);
        self.mismatches += rise(now.mismatches, before.mismatches);
        self.expired_late_micros += rise(now.expired_late_micros, before.expired_late_micros);
        for (all, (now, before)) in self
            .expired
            .iter_mut()
            .zip(now.expired.iter().zip(&before.expired))
        {
            *all += rise(*now, *before);
        }
    }
}

impl WorkerStatsView {
    fn record(&self, work: WorkerStatsMessage) {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.remove_gone();
        let ReceivedStats { workers, totals } = &mut *received;
        if let Some((_, before)) = workers.get(&work.owner) {
            totals.add_rise(&work, before);
        } else if workers.len() >= WORKERS_MAX {
            return;
        }
        workers.insert(work.owner.clone(), (Instant::now(), work));
    }

    /// The last statistics of each live worker, and the totals of all workers.
    #[must_use]
    pub fn current(&self) -> (Vec<WorkerStatsMessage>, WorkerTotals) {
        let mut received = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        received.remove_gone();
        (
            received
                .workers
                .values()
                .map(|(_, work)| work.clone())
                .collect(),
            received.totals.clone(),
        )
    }
}

impl ReceivedStats {
    fn remove_gone(&mut self) {
        self.workers.retain(|_, (at, _)| at.elapsed() < GONE_AFTER);
    }
}

/// Subscribes to the statistics, and starts the task that receives them.
///
/// # Errors
/// When NATS does not accept the subscription.
pub async fn start(
    connections: &Connections,
    subjects: &Subjects,
    view: Arc<WorkerStatsView>,
) -> anyhow::Result<JoinHandle<()>> {
    let mut messages = connections.nats.subscribe(subjects.worker_stats()).await?;
    Ok(tokio::spawn(async move {
        while let Some(message) = messages.next().await {
            match WorkerStatsMessage::decode(&message.payload) {
                Ok(work) => view.record(work),
                Err(error) => {
                    tracing::debug!(%error, "decoding a worker's statistics failed; they are ignored")
                }
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(view: &WorkerStatsView, owner: &str, batches: u64, expired: u64) {
        let expired = vec![expired; SECONDS.len() + 1];
        view.record(WorkerStatsMessage {
            owner: owner.to_owned(),
            batches,
            expired,
            ..WorkerStatsMessage::default()
        });
    }

    #[test]
    fn totals_start_with_the_first_message_and_keep_gone_workers() {
        let view = WorkerStatsView::default();
        record(&view, "a", 100, 5);
        assert_eq!(
            view.current().1.batches,
            0,
            "counts before the first message are left out"
        );
        record(&view, "a", 103, 7);
        record(&view, "b", 40, 0);
        record(&view, "b", 41, 1);
        let (workers, totals) = view.current();
        assert_eq!(
            (workers.len(), totals.batches, totals.expired[0]),
            (2, 4, 3)
        );
        for (at, _) in view.0.lock().unwrap().workers.values_mut() {
            *at -= GONE_AFTER;
        }
        let (workers, totals) = view.current();
        assert_eq!((workers.len(), totals.batches), (0, 4));
    }

    #[test]
    fn the_number_of_workers_is_bounded() {
        let view = WorkerStatsView::default();
        (0..WORKERS_MAX + 5).for_each(|n| record(&view, &n.to_string(), 1, 0));
        assert_eq!(view.current().0.len(), WORKERS_MAX);
    }
}
