//! How fresh what the workers told is, partition by partition, and what Postgres's clock says by now.
//!
//! A partition's news is numbered by its owner. What does not follow on (a gap, another owner) puts all that was known of
//! the partition in doubt, until it is read from the table or told anew; what an older owner says is not heard at all. What
//! was heard is believed for a second, and longer only when a heartbeat says that nothing has happened since. This host's
//! clock measures such spans and never tells the time: that is what Postgres's clock was said to have passed, and what has
//! gone by since.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holdfast_common::messages::news::{Heartbeat, News, Pulse};
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::time::Timestamp;
use tokio::time::Instant;

/// How long a partition is believed to be as it was told.
const BELIEVED_FOR: Duration = Duration::from_secs(1);
/// What falls due so soon counts as due: a message is a little old when it is heard.
const DUE_MARGIN: Duration = Duration::from_millis(100);
/// How much of what was learnt of Postgres's clock is forgotten: one part in so many of the time that has passed. Twice as
/// fast as NTP corrects a clock, so that two clocks that drift apart are noticed.
const FORGOTTEN_SHARE: i64 = 1000;
const UNKNOWN: i64 = i64::MIN;

/// What was heard of every partition.
#[derive(Debug)]
pub struct Pulses {
    begun: Instant,
    partitions: Vec<Heard>,
    clock: Clock,
}

/// What was heard of one partition. Its atomics are written by the listener only.
#[derive(Debug, Default)]
struct Heard {
    /// The owner's epoch, and the number of its last news.
    last: Mutex<Option<(i64, u64)>>,
    doubts: AtomicU64,
    /// In Postgres's microseconds.
    clear_until: AtomicI64,
    /// In microseconds since the ingress has begun.
    believed_until: AtomicI64,
}

/// Postgres's clock, at the least: no message comes before it was sent.
#[derive(Debug)]
struct Clock {
    /// How far it is ahead of the time since the ingress has begun, in microseconds.
    ahead: AtomicI64,
    /// When that was learnt last.
    learnt: Mutex<i64>,
}

impl Pulses {
    /// Nothing is heard yet.
    #[must_use]
    pub fn new(partitions: Partitions) -> Self {
        let clock = Clock {
            ahead: AtomicI64::new(UNKNOWN),
            learnt: Mutex::new(0),
        };
        Self {
            begun: Instant::now(),
            partitions: partitions.all().map(|_| Heard::default()).collect(),
            clock,
        }
    }

    /// Learns from news; says whether it is the owner's.
    pub fn learn(&self, news: &News) -> bool {
        let times = news.products.iter().map(|product| product.as_of);
        times
            .max()
            .into_iter()
            .for_each(|time| self.learn_time(time));
        self.hear(&news.pulse, 1)
    }

    /// Learns from a heartbeat.
    pub fn learn_heartbeat(&self, heartbeat: &Heartbeat) {
        self.learn_time(heartbeat.now);
        for pulse in &heartbeat.partitions {
            self.hear(pulse, 0);
        }
    }

    /// Learns what Postgres's clock has passed.
    pub fn learn_time(&self, passed: Timestamp) {
        self.clock.learn(passed, self.micros());
    }

    /// How often something of a partition may have passed us by.
    #[must_use]
    pub fn doubts(&self, partition: Partition) -> u64 {
        self.partitions
            .get(usize::from(partition.0))
            .map_or(0, |heard| heard.doubts.load(Ordering::Acquire))
    }

    /// Postgres's time, if a partition is by now as it was told and nothing of it is due. Its [`Self::doubts`] are to be
    /// looked at afterwards.
    #[must_use]
    pub fn now_if_clear(&self, partition: Partition) -> Option<Timestamp> {
        let heard = self.partitions.get(usize::from(partition.0))?;
        let micros = self.micros();
        if micros >= heard.believed_until.load(Ordering::Acquire) {
            return None;
        }
        let now = self.clock.at(micros)?;
        (now.plus(DUE_MARGIN).0 < heard.clear_until.load(Ordering::Acquire)).then_some(now)
    }

    /// `follows` is by how much its number must be above the last one.
    fn hear(&self, pulse: &Pulse, follows: u64) -> bool {
        let Some(heard) = self.partitions.get(usize::from(pulse.partition)) else {
            return false;
        };
        let mut last = heard.last.lock().unwrap_or_else(PoisonError::into_inner);
        let told = (pulse.epoch, pulse.number);
        match *last {
            Some(last) if told < last => return told.0 == last.0,
            Some((epoch, number)) if told == (epoch, number + follows) => {}
            _ => _ = heard.doubts.fetch_add(1, Ordering::AcqRel),
        }
        *last = Some(told);
        heard.clear_until.store(
            pulse.clear_until.map_or(UNKNOWN, |time| time.0),
            Ordering::Release,
        );
        let believed_for = i64::try_from(BELIEVED_FOR.as_micros()).unwrap_or(i64::MAX);
        heard
            .believed_until
            .store(self.micros() + believed_for, Ordering::Release);
        true
    }

    fn micros(&self) -> i64 {
        i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX)
    }
}

impl Clock {
    fn learn(&self, passed: Timestamp, micros: i64) {
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let forgotten = (micros - *learnt) / FORGOTTEN_SHARE;
        let known = self.ahead.load(Ordering::Relaxed).saturating_sub(forgotten);
        self.ahead.store(
            known.max(passed.0.saturating_sub(micros)),
            Ordering::Release,
        );
        *learnt = micros;
    }

    fn at(&self, micros: i64) -> Option<Timestamp> {
        let ahead = self.ahead.load(Ordering::Acquire);
        (ahead != UNKNOWN).then(|| Timestamp(ahead.saturating_add(micros)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: Partition = Partition(3);
    const NOW: Timestamp = Timestamp(1_700_000_000_000_000);

    fn pulse(epoch: i64, number: u64, clear_seconds: Option<u32>) -> Pulse {
        Pulse {
            partition: P.0,
            epoch,
            number,
            clear_until: clear_seconds.map(|seconds| NOW.plus_seconds(seconds)),
        }
    }

    /// Hears news, and says whether it is current, and how often there was doubt.
    fn news(pulses: &Pulses, pulse: Pulse) -> (bool, u64) {
        let news = News {
            pulse,
            stream_created: NOW,
            applied_seq: 1,
            products: Vec::new(),
        };
        (pulses.learn(&news), pulses.doubts(P))
    }

    fn heartbeat(pulses: &Pulses, pulse: Pulse) -> u64 {
        pulses.learn_heartbeat(&Heartbeat {
            now: NOW,
            partitions: vec![pulse],
        });
        pulses.doubts(P)
    }

    fn pulses() -> Pulses {
        Pulses::new(Partitions::new(4).unwrap())
    }

    #[test]
    fn what_does_not_follow_on_is_in_doubt_and_older_owners_are_not_heard() {
        let pulses = pulses();
        assert_eq!(
            news(&pulses, pulse(5, 1, None)),
            (true, 1),
            "who is heard first may have said more before"
        );
        assert_eq!(news(&pulses, pulse(5, 2, None)), (true, 1));
        assert_eq!(heartbeat(&pulses, pulse(5, 2, None)), 1);
        assert_eq!(
            heartbeat(&pulses, pulse(5, 1, None)),
            1,
            "sent just before news"
        );
        assert_eq!(news(&pulses, pulse(5, 4, None)), (true, 2), "one was lost");
        assert_eq!(
            heartbeat(&pulses, pulse(5, 5, None)),
            3,
            "the last one was lost"
        );
        assert_eq!(news(&pulses, pulse(6, 1, None)), (true, 4), "another owner");
        assert_eq!(news(&pulses, pulse(5, 6, None)), (false, 4));
        assert_eq!(heartbeat(&pulses, pulse(5, 9, None)), 4);
        assert_eq!(pulses.doubts(Partition(2)), 0);
        assert_eq!(
            news(
                &pulses,
                Pulse {
                    partition: 4,
                    ..pulse(1, 1, None)
                }
            ),
            (false, 4),
            "no partition of ours"
        );
    }

    #[test]
    fn a_partition_is_clear_until_something_falls_due_or_nothing_is_heard() {
        let mut pulses = pulses();
        assert_eq!(pulses.now_if_clear(P), None, "nothing was heard");
        heartbeat(&pulses, pulse(5, 1, Some(60)));
        assert!(pulses.now_if_clear(P).unwrap() >= NOW);
        heartbeat(&pulses, pulse(5, 1, None));
        assert_eq!(pulses.now_if_clear(P), None, "it is not known what is due");
        heartbeat(&pulses, pulse(4, 9, Some(60)));
        assert_eq!(pulses.now_if_clear(P), None, "an older owner knows nothing");
        heartbeat(&pulses, pulse(5, 1, Some(60)));
        pulses.learn_time(NOW.plus_seconds(60));
        assert_eq!(
            pulses.now_if_clear(P),
            None,
            "somebody has read a later time in the table"
        );
        heartbeat(&pulses, pulse(5, 1, Some(120)));
        assert!(
            pulses.now_if_clear(P).unwrap() >= NOW.plus_seconds(60),
            "an older time changes nothing"
        );
        pulses.begun -= BELIEVED_FOR;
        assert_eq!(pulses.now_if_clear(P), None, "it was heard a second ago");
    }

    #[test]
    fn what_is_known_of_the_clock_fades() {
        let clock = Clock {
            ahead: AtomicI64::new(UNKNOWN),
            learnt: Mutex::new(0),
        };
        assert_eq!(clock.at(0), None);
        clock.learn(Timestamp(5_000_000), 0);
        clock.learn(Timestamp(4_000_000), 2_000_000);
        assert_eq!(clock.at(3_000_000), Some(Timestamp(8_000_000 - 2_000)));
    }
}
