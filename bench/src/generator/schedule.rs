//! When rounds begin.

use std::time::{Duration, Instant};

use super::{Load, Pace};

/// Gives out the times at which rounds are meant to begin.
pub(super) struct Schedule {
    pace: Pace,
    warm_up: Duration,
    duration: Duration,
    rounds_max: u64,
    rounds: u64,
    began: Instant,
}

impl Schedule {
    pub(super) fn new(load: &Load) -> Self {
        let Load {
            pace,
            warm_up,
            duration,
            rounds_max,
            ..
        } = *load;
        Self {
            pace,
            warm_up,
            duration,
            rounds_max,
            rounds: 0,
            began: Instant::now(),
        }
    }

    pub(super) fn begin(&mut self, now: Instant) {
        self.began = now;
    }

    /// From when on rounds count.
    pub(super) fn counted_from(&self) -> Instant {
        self.began + self.warm_up
    }

    /// When the last round begins.
    pub(super) fn end(&self) -> Instant {
        self.counted_from() + self.duration
    }

    /// Whether no more rounds begin.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end() || self.rounds >= self.rounds_max
    }

    /// When the next round is meant to begin, in an open loop.
    pub(super) fn next_at(&self) -> Option<Instant> {
        match self.pace {
            Pace::Closed => None,
            Pace::Open(a_second) => {
                let at = self.began + Duration::from_secs_f64(self.rounds as f64 / a_second);
                (at < self.end() && self.rounds < self.rounds_max).then_some(at)
            }
        }
    }

    /// Takes the next round if its time has come, and says when it was meant to begin.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        let at = match self.pace {
            Pace::Closed => (!self.is_over(now)).then_some(now),
            // Also past the end nothing is begun late: what is left is counted as not sent.
            Pace::Open(_) => self.next_at().filter(|at| *at <= now && now < self.end()),
        }?;
        self.rounds += 1;
        Some(at)
    }

    /// The times of rounds that should have begun and have not.
    pub(super) fn missed(&mut self) -> Option<Instant> {
        let at = self.next_at()?;
        self.rounds += 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(pace: Pace, rounds_max: u64) -> Schedule {
        let (warm_up, duration) = (Duration::from_secs(1), Duration::from_secs(2));
        let address = ([127, 0, 0, 1], 1).into();
        Schedule::new(&Load {
            address,
            connections: 1,
            pace,
            warm_up,
            duration,
            rounds_max,
        })
    }

    #[test]
    fn an_open_loop_gives_out_the_times_that_were_meant_however_late_it_is_asked() {
        let mut schedule = schedule(Pace::Open(10.0), u64::MAX);
        let began = schedule.began;
        let late = began + Duration::from_millis(250);
        let given: Vec<_> = std::iter::from_fn(|| schedule.next(late))
            .map(|at| at - began)
            .collect();
        assert_eq!(given, [0, 100, 200].map(Duration::from_millis));
    }

    #[test]
    fn an_open_loop_knows_what_it_could_not_begin() {
        let mut schedule = schedule(Pace::Open(10.0), u64::MAX);
        assert_eq!(schedule.next(schedule.end()), None);
        assert_eq!(std::iter::from_fn(|| schedule.missed()).count(), 30);
    }

    #[test]
    fn a_closed_loop_begins_rounds_until_its_end() {
        let mut schedule = schedule(Pace::Closed, u64::MAX);
        let (began, end) = (schedule.began, schedule.end());
        assert_eq!(schedule.next(began), Some(began));
        assert_eq!(schedule.next(end), None);
        assert!(schedule.is_over(end));
    }

    #[test]
    fn no_more_rounds_begin_than_were_asked_for() {
        for pace in [Pace::Closed, Pace::Open(1000.0)] {
            let mut schedule = schedule(pace, 2);
            let now = schedule.began + Duration::from_millis(500);
            assert_eq!(std::iter::from_fn(|| schedule.next(now)).count(), 2);
            assert!(schedule.is_over(now));
        }
    }
}
