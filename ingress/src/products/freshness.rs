//! How current the news of each partition is, and what time it is by Postgres's clock.
//!
//! The owner of a partition numbers its news. A missing number or another owner is a gap: products of the partition that
//! were cached before it must be read again. News of an older owner is ignored.
//!
//! A worker also states until when nothing of the partition falls due (no hold or order expires). The cache may refuse a
//! hold as sold out only before that time, because an expiry returns units, and only while the last message is under a
//! second old: after a second without a message, the partition may have a new owner whose commits this ingress has not
//! received. Workers send heartbeats, so that an idle partition stays current.
//!
//! Postgres's clock decides when a hold expires, so this module estimates that clock: the latest time of it in any message
//! or read, plus the time since then. The host's clock only measures that duration. So the estimate is ahead of Postgres
//! by at most the drift between the two clocks.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_common::messages::news::{Heartbeat, News, Pulse};
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::time::Timestamp;
use tokio::time::Instant;

/// How long a partition's last message is current.
const CURRENT_FOR: Duration = Duration::from_secs(1);
/// A hold that falls due within this time counts as due: the message has been in transit for a while.
const DUE_MARGIN: Duration = Duration::from_millis(100);
/// The estimate of Postgres's clock falls back by one part in 1000 of the time that passes, so that a host clock that runs
/// fast is noticed. This is twice the rate at which NTP corrects a clock.
const DRIFT_SHARE: i64 = 1000;
const UNKNOWN: i64 = i64::MIN;

/// The freshness of all partitions.
#[derive(Debug)]
pub struct Freshness {
    begun: Instant,
    partitions: Vec<PartitionFreshness>,
    clock: PostgresClock,
}

/// The freshness of one partition. Only the listener writes it, so the atomics need no lock among writers.
#[derive(Debug, Default)]
struct PartitionFreshness {
    /// The owner's epoch, and the number of its last news.
    last: Mutex<Option<(i64, u64)>>,
    gaps: AtomicU64,
    /// The first time at which something falls due, in microseconds of Postgres's clock.
    next_due: AtomicI64,
    /// In microseconds since the ingress started.
    current_until: AtomicI64,
}

/// A lower bound of Postgres's clock: a message arrives after it was sent.
#[derive(Debug)]
struct PostgresClock {
    /// Postgres's time minus the time since the ingress started, in microseconds.
    offset: AtomicI64,
    /// When the offset was updated, in microseconds since the ingress started.
    updated: Mutex<i64>,
}

impl Freshness {
    #[must_use]
    pub fn new(partitions: Partitions) -> Self {
        let clock = PostgresClock {
            offset: AtomicI64::new(UNKNOWN),
            updated: Mutex::new(0),
        };
        Self {
            begun: Instant::now(),
            partitions: partitions
                .all()
                .map(|_| PartitionFreshness::default())
                .collect(),
            clock,
        }
    }

    /// Records news, and returns whether it is from the partition's youngest known owner.
    pub fn record_news(&self, news: &News) -> bool {
        let times = news.products.iter().map(|product| product.as_of);
        times
            .max()
            .into_iter()
            .for_each(|time| self.record_time(time));
        self.record(&news.pulse, 1)
    }

    pub fn record_heartbeat(&self, heartbeat: &Heartbeat) {
        self.record_time(heartbeat.now);
        for pulse in &heartbeat.partitions {
            self.record(pulse, 0);
        }
    }

    /// Records that Postgres's clock has reached a time.
    pub fn record_time(&self, reached: Timestamp) {
        self.clock.record(reached, self.micros());
    }

    /// How often news of a partition may have been missed.
    #[must_use]
    pub fn gaps(&self, partition: Partition) -> u64 {
        self.partitions
            .get(usize::from(partition.0))
            .map_or(0, |freshness| freshness.gaps.load(Ordering::Acquire))
    }

    /// Postgres's time, if the partition's last message is current and nothing of the partition is due. The caller must
    /// compare [`Self::gaps`] afterwards, because a gap may be found in between.
    #[must_use]
    pub fn now_if_nothing_due(&self, partition: Partition) -> Option<Timestamp> {
        let freshness = self.partitions.get(usize::from(partition.0))?;
        let micros = self.micros();
        if micros >= freshness.current_until.load(Ordering::Acquire) {
            return None;
        }
        let now = self.clock.at(micros)?;
        (now.plus(DUE_MARGIN).0 < freshness.next_due.load(Ordering::Acquire)).then_some(now)
    }

    /// `step` is how much the number must be above the last one: 1 for news, 0 for a heartbeat, which repeats the number of
    /// the last news.
    fn record(&self, pulse: &Pulse, step: u64) -> bool {
        let Some(freshness) = self.partitions.get(usize::from(pulse.partition)) else {
            return false;
        };
        let mut last = freshness
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let received = (pulse.epoch, pulse.number);
        match *last {
            // An older owner, or a heartbeat that news of the same owner has overtaken.
            Some(last) if received < last => return received.0 == last.0,
            Some((epoch, number)) if received == (epoch, number + step) => {}
            _ => _ = freshness.gaps.fetch_add(1, Ordering::AcqRel),
        }
        *last = Some(received);
        freshness.next_due.store(
            pulse.clear_until.map_or(UNKNOWN, |time| time.0),
            Ordering::Release,
        );
        let current_for = i64::try_from(CURRENT_FOR.as_micros()).unwrap_or(i64::MAX);
        freshness
            .current_until
            .store(self.micros() + current_for, Ordering::Release);
        true
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl PostgresClock {
    fn record(&self, reached: Timestamp, micros: i64) {
        let mut updated = self.updated.lock().unwrap_or_else(PoisonError::into_inner);
        let drift = (micros - *updated) / DRIFT_SHARE;
        let offset = self.offset.load(Ordering::Relaxed).saturating_sub(drift);
        self.offset.store(
            offset.max(reached.0.saturating_sub(micros)),
            Ordering::Release,
        );
        *updated = micros;
    }

    fn at(&self, micros: i64) -> Option<Timestamp> {
        let offset = self.offset.load(Ordering::Acquire);
        (offset != UNKNOWN).then(|| Timestamp(offset.saturating_add(micros)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(3);
    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn pulse(epoch: i64, number: u64, due_seconds: Option<u32>) -> Pulse {
        Pulse {
            partition: P.0,
            epoch,
            number,
            clear_until: due_seconds.map(|seconds| NOW.plus_seconds(seconds)),
        }
    }

    /// Records news, and returns whether it was accepted, and the number of gaps.
    fn news(freshness: &Freshness, pulse: Pulse) -> (bool, u64) {
        let news = News {
            pulse,
            stream_created: NOW,
            applied_seq: 1,
            products: Vec::new(),
        };
        (freshness.record_news(&news), freshness.gaps(P))
    }

    fn heartbeat(freshness: &Freshness, pulse: Pulse) -> u64 {
        freshness.record_heartbeat(&Heartbeat {
            now: NOW,
            partitions: vec![pulse],
        });
        freshness.gaps(P)
    }

    fn freshness() -> Freshness {
        Freshness::new(Partitions::new(4).unwrap())
    }

    #[test]
    fn a_missing_number_is_a_gap_and_older_owners_are_ignored() {
        let freshness = freshness();
        assert_eq!(
            news(&freshness, pulse(5, 1, None)),
            (true, 1),
            "there may have been earlier news"
        );
        assert_eq!(news(&freshness, pulse(5, 2, None)), (true, 1));
        assert_eq!(heartbeat(&freshness, pulse(5, 2, None)), 1);
        assert_eq!(
            heartbeat(&freshness, pulse(5, 1, None)),
            1,
            "news has overtaken the heartbeat"
        );
        assert_eq!(
            news(&freshness, pulse(5, 4, None)),
            (true, 2),
            "one news message was lost"
        );
        assert_eq!(
            heartbeat(&freshness, pulse(5, 5, None)),
            3,
            "the last news message was lost"
        );
        assert_eq!(
            news(&freshness, pulse(6, 1, None)),
            (true, 4),
            "another owner"
        );
        assert_eq!(news(&freshness, pulse(5, 6, None)), (false, 4));
        assert_eq!(heartbeat(&freshness, pulse(5, 9, None)), 4);
        assert_eq!(freshness.gaps(Partition(2)), 0);
        assert_eq!(
            news(
                &freshness,
                Pulse {
                    partition: 4,
                    ..pulse(1, 1, None)
                }
            ),
            (false, 4),
            "the partition does not exist"
        );
    }

    #[test]
    fn nothing_is_due_until_the_stated_time_or_a_second_passes() {
        let mut freshness = freshness();
        assert_eq!(
            freshness.now_if_nothing_due(P),
            None,
            "no message has arrived"
        );
        heartbeat(&freshness, pulse(5, 1, Some(60)));
        assert!(freshness.now_if_nothing_due(P).unwrap() >= NOW);
        heartbeat(&freshness, pulse(5, 1, None));
        assert_eq!(
            freshness.now_if_nothing_due(P),
            None,
            "the owner does not know what is due"
        );
        heartbeat(&freshness, pulse(4, 9, Some(60)));
        assert_eq!(
            freshness.now_if_nothing_due(P),
            None,
            "the message is of an older owner"
        );
        heartbeat(&freshness, pulse(5, 1, Some(60)));
        freshness.record_time(NOW.plus_seconds(60));
        assert_eq!(
            freshness.now_if_nothing_due(P),
            None,
            "a read of Postgres showed a later time"
        );
        heartbeat(&freshness, pulse(5, 1, Some(120)));
        assert!(
            freshness.now_if_nothing_due(P).unwrap() >= NOW.plus_seconds(60),
            "an older time is ignored"
        );
        freshness.begun -= CURRENT_FOR;
        assert_eq!(
            freshness.now_if_nothing_due(P),
            None,
            "the last message is a second old"
        );
    }

    #[test]
    fn the_estimate_of_the_clock_falls_back_slowly() {
        let clock = PostgresClock {
            offset: AtomicI64::new(UNKNOWN),
            updated: Mutex::new(0),
        };
        assert_eq!(clock.at(0), None);
        clock.record(Timestamp(5_000_000), 0);
        clock.record(Timestamp(4_000_000), 2_000_000);
        assert_eq!(clock.at(3_000_000), Some(Timestamp(8_000_000 - 2_000)));
    }
}
