//! Signs of life: a few times a second, one message tells every ingress how each of this worker's partitions stands.
//!
//! It says that all news up to a number was sent, and when something falls due next. So an ingress knows whether what it
//! has heard is still so. Nothing is said for a partition that another worker may have: only while the table has lately
//! said that they are ours. Never sent ahead of the news that it counts.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_common::messages::news::{Heartbeat, Pulse};
use holdfast_common::partition::Partition;
use holdfast_common::time::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::announce;
use crate::apply::next_due::Horizon;
use crate::store::lease::Lease;

/// The pause between two heartbeats. An ingress believes what it heard for a second, so it may miss a few.
const BEAT_EVERY: Duration = Duration::from_millis(250);
/// The part of a lease, one in so many, for which the table's word is passed on.
const BELIEVED_SHARE: u32 = 2;

/// How each partition of this worker stands.
#[derive(Debug, Default)]
pub struct Pulses(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    partitions: BTreeMap<u16, Pulse>,
    confirmed: Option<Confirmed>,
}

/// When the table said last which partitions are ours.
#[derive(Clone, Copy, Debug)]
struct Confirmed {
    asked_at: Instant,
    /// Postgres's time, and when we had it.
    now: (Timestamp, Instant),
}

impl Pulses {
    fn known(&self) -> MutexGuard<'_, Known> {
        // Each change is one assignment, so a panic elsewhere leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the next news of a partition says of it. Asked by its task alone, which says afterwards that it was sent.
    pub(crate) fn next(&self, lease: &Lease, horizon: Horizon) -> Pulse {
        let known = self.known();
        let last = known
            .partitions
            .get(&lease.partition.0)
            .filter(|last| last.epoch == lease.epoch);
        let number = last.map_or(1, |last| last.number + 1);
        Pulse {
            partition: lease.partition.0,
            epoch: lease.epoch,
            number,
            clear_until: horizon.clear_until(),
        }
    }

    /// News with this pulse is on its way.
    pub(crate) fn sent(&self, pulse: Pulse) {
        let mut known = self.known();
        let last = known.partitions.get(&pulse.partition);
        // A task that was replaced in this very process may still be ending.
        if last.is_none_or(|last| last.epoch <= pulse.epoch) {
            known.partitions.insert(pulse.partition, pulse);
        }
    }

    /// Something of a partition may have been committed without news: a number is left out, as if it had been lost.
    pub(crate) fn doubt(&self, lease: &Lease) {
        self.sent(self.next(lease, Horizon::Unknown));
    }

    /// A partition is no longer ours.
    pub(crate) fn end(&self, partition: Partition, epoch: i64) {
        let mut known = self.known();
        if known
            .partitions
            .get(&partition.0)
            .is_some_and(|last| last.epoch == epoch)
        {
            known.partitions.remove(&partition.0);
        }
    }

    /// The table was asked then, and has just said what is ours, and its time.
    pub(crate) fn confirm(&self, asked_at: Instant, now: Timestamp) {
        self.known().confirmed = Some(Confirmed {
            asked_at,
            now: (now, Instant::now()),
        });
    }

    fn heartbeat(&self, lease: Duration) -> Option<Heartbeat> {
        let known = self.known();
        let confirmed = known
            .confirmed
            .filter(|confirmed| confirmed.asked_at.elapsed() < lease / BELIEVED_SHARE)?;
        let (now, since) = confirmed.now;
        let partitions: Vec<Pulse> = known.partitions.values().copied().collect();
        (!partitions.is_empty()).then(|| Heartbeat {
            now: now.plus(since.elapsed()),
            partitions,
        })
    }
}

/// Beats until the process stops.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let mut turn = tokio::time::interval(BEAT_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        if let Some(heartbeat) = worker.pulses.heartbeat(worker.lease()) {
            announce::heartbeat(&worker, heartbeat).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(3600);

    fn lease(epoch: i64) -> Lease {
        let stream_created = Timestamp(0).into();
        Lease {
            partition: Partition(3),
            epoch,
            stream_created,
            applied_seq: 0,
        }
    }

    #[test]
    fn news_is_numbered_for_each_owner_and_a_heartbeat_names_the_last_that_was_sent() {
        let (pulses, clear) = (Pulses::default(), Horizon::ClearUntil(Timestamp(9)));
        pulses.sent(pulses.next(&lease(1), clear));
        assert_eq!(
            pulses.heartbeat(LEASE),
            None,
            "the table has not said yet that it is ours"
        );
        pulses.confirm(Instant::now(), Timestamp(5));
        let second = pulses.next(&lease(1), clear);
        assert_eq!((second.number, second.clear_until), (2, Some(Timestamp(9))));
        let heard = pulses.heartbeat(LEASE).unwrap();
        assert_eq!(
            (heard.partitions[0].number, heard.now >= Timestamp(5)),
            (1, true)
        );
        assert_eq!(
            pulses.heartbeat(Duration::ZERO),
            None,
            "the table's word is too old"
        );
        pulses.sent(second);
        pulses.doubt(&lease(1));
        let doubtful = pulses.heartbeat(LEASE).unwrap().partitions[0];
        assert_eq!((doubtful.number, doubtful.clear_until), (3, None));
        assert_eq!(pulses.next(&lease(1), clear).number, 4);

        pulses.sent(pulses.next(&lease(2), clear));
        pulses.doubt(&lease(1));
        pulses.end(Partition(3), 1);
        let taken = pulses.heartbeat(LEASE).unwrap().partitions[0];
        assert_eq!((taken.epoch, taken.number), (2, 1));
        pulses.end(Partition(3), 2);
        assert_eq!(pulses.heartbeat(LEASE), None);
    }
}
