//! Heartbeats: four times a second, one message with the state of all partitions of this worker.
//!
//! News of a partition is numbered. A heartbeat carries the last number sent and the next due time. From it an ingress
//! detects lost news, and decides whether its cached products are still current.
//!
//! A heartbeat states that no other worker commits in these partitions. So heartbeats are sent only for half a lease after
//! the table confirmed this worker's ownership. A heartbeat must never be sent before the news that it counts.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holdfast_common::messages::news::{Heartbeat, Pulse};
use holdfast_common::partition::Partition;
use holdfast_common::time::Timestamp;
use tokio::time::Instant;

use crate::next_due::NextDue;
use crate::store::lease::Lease;

/// An ingress trusts its cache for one second after a heartbeat, so it may miss a few of them.
pub(super) const HEARTBEAT_EVERY: Duration = Duration::from_millis(250);
/// Heartbeats stop when ownership was confirmed longer ago than this fraction of a lease: one half. The confirmation comes
/// after a renewal, which leaves at least 0.7 of the lease, so no other worker can have taken the partition by then.
const CONFIRMED_LEASE_DIVISOR: u32 = 2;

/// The state of each partition of this worker, as it was last sent.
#[derive(Debug, Default)]
pub struct Heartbeats(Mutex<SentState>);

#[derive(Debug, Default)]
struct SentState {
    partitions: BTreeMap<u16, Pulse>,
    confirmed: Option<OwnershipConfirmed>,
}

/// The last time that the table listed this worker's partitions.
#[derive(Clone, Copy, Debug)]
struct OwnershipConfirmed {
    /// The time before the query was sent, so the rows that it read are not older.
    queried_at: Instant,
    /// Postgres's time, and the local time at which it arrived.
    now: (Timestamp, Instant),
}

impl Heartbeats {
    fn state(&self) -> MutexGuard<'_, SentState> {
        // Each change is one assignment, so a panic elsewhere leaves the state consistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The pulse for the next news of a partition. Only the partition's task calls this; it calls
    /// [`record_sent`](Self::record_sent) after the send.
    pub(crate) fn next_pulse(&self, lease: &Lease, next_due: NextDue) -> Pulse {
        let state = self.state();
        let last = state
            .partitions
            .get(&lease.partition.0)
            .filter(|last| last.epoch == lease.epoch);
        let number = last.map_or(1, |last| last.number + 1);
        Pulse {
            partition: lease.partition.0,
            epoch: lease.epoch,
            number,
            clear_until: next_due.clear_until(),
        }
    }

    pub(crate) fn record_sent(&self, pulse: Pulse) {
        let mut state = self.state();
        let last = state.partitions.get(&pulse.partition);
        // The task of an older epoch of the same partition may still be ending in this process.
        if last.is_none_or(|last| last.epoch <= pulse.epoch) {
            state.partitions.insert(pulse.partition, pulse);
        }
    }

    /// Skips a number, as if news had been lost. Called when a batch may have been committed without its news: the gap
    /// makes ingresses read the rows.
    pub(crate) fn skip_number(&self, lease: &Lease) {
        self.record_sent(self.next_pulse(lease, NextDue::Unknown));
    }

    /// Stops heartbeats for a partition that this worker no longer owns.
    pub(crate) fn remove(&self, partition: Partition, epoch: i64) {
        let mut state = self.state();
        if state
            .partitions
            .get(&partition.0)
            .is_some_and(|last| last.epoch == epoch)
        {
            state.partitions.remove(&partition.0);
        }
    }

    /// Records that the table was queried at `queried_at`, listed this worker's partitions, and gave its time.
    pub(crate) fn confirm_ownership(&self, queried_at: Instant, now: Timestamp) {
        self.state().confirmed = Some(OwnershipConfirmed {
            queried_at,
            now: (now, Instant::now()),
        });
    }

    /// The heartbeat to send now; `None` without partitions, or when ownership was confirmed too long ago.
    pub(super) fn current(&self, lease: Duration) -> Option<Heartbeat> {
        let state = self.state();
        let confirmed = state
            .confirmed
            .filter(|confirmed| confirmed.queried_at.elapsed() < lease / CONFIRMED_LEASE_DIVISOR)?;
        let (now, since) = confirmed.now;
        let partitions: Vec<Pulse> = state.partitions.values().copied().collect();
        (!partitions.is_empty()).then(|| Heartbeat {
            now: now.plus(since.elapsed()),
            partitions,
        })
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
    fn heartbeat_names_the_last_news_sent_in_each_epoch() {
        let (heartbeats, clear) = (Heartbeats::default(), NextDue::ClearUntil(Timestamp(9)));
        heartbeats.record_sent(heartbeats.next_pulse(&lease(1), clear));
        assert_eq!(
            heartbeats.current(LEASE),
            None,
            "ownership is not confirmed yet"
        );
        heartbeats.confirm_ownership(Instant::now(), Timestamp(5));
        let second = heartbeats.next_pulse(&lease(1), clear);
        assert_eq!((second.number, second.clear_until), (2, Some(Timestamp(9))));
        let first = heartbeats.current(LEASE).unwrap();
        assert_eq!(
            (first.partitions[0].number, first.now >= Timestamp(5)),
            (1, true)
        );
        assert_eq!(
            heartbeats.current(Duration::ZERO),
            None,
            "ownership was confirmed too long ago"
        );
        heartbeats.record_sent(second);
        heartbeats.skip_number(&lease(1));
        let skipped = heartbeats.current(LEASE).unwrap().partitions[0];
        assert_eq!((skipped.number, skipped.clear_until), (3, None));
        assert_eq!(heartbeats.next_pulse(&lease(1), clear).number, 4);

        heartbeats.record_sent(heartbeats.next_pulse(&lease(2), clear));
        heartbeats.skip_number(&lease(1));
        heartbeats.remove(Partition(3), 1);
        let taken = heartbeats.current(LEASE).unwrap().partitions[0];
        assert_eq!((taken.epoch, taken.number), (2, 1));
        heartbeats.remove(Partition(3), 2);
        assert_eq!(heartbeats.current(LEASE), None);
    }
}
