//! The times at which rounds start.

use std::time::{Duration, Instant};

use super::{Load, Pace};

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

    /// The end of the warm-up.
    pub(super) fn counted_from(&self) -> Instant {
        self.began + self.warm_up
    }

    /// The time after which no round starts.
    pub(super) fn end(&self) -> Instant {
        self.counted_from() + self.duration
    }

    pub(super) fn is_over(&self, now: Instant) -> bool {
        now >= self.end() || self.rounds >= self.rounds_max
    }

    /// The due time of the next round of an open loop.
    pub(super) fn next_at(&self) -> Option<Instant> {
        match self.pace {
            Pace::Closed => None,
            Pace::Open(per_second) => {
                let at = self.began + Duration::from_secs_f64(self.rounds as f64 / per_second);
                (at < self.end() && self.rounds < self.rounds_max).then_some(at)
            }
        }
    }

    /// Takes the next round if it is due; returns its due time.
    pub(super) fn next(&mut self, now: Instant) -> Option<Instant> {
        let at = match self.pace {
            Pace::Closed => (!self.is_over(now)).then_some(now),
            // After the end no late round starts; `missed` counts the rest as not sent.
            Pace::Open(_) => self.next_at().filter(|at| *at <= now && now < self.end()),
        }?;
        self.rounds += 1;
        Some(at)
    }

    /// Takes the next round that was due and did not start; returns its due time.
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
    fn open_loop_returns_due_times_even_when_called_late() {
        let mut schedule = schedule(Pace::Open(10.0), u64::MAX);
        let began = schedule.began;
        let late = began + Duration::from_millis(250);
        let given: Vec<_> = std::iter::from_fn(|| schedule.next(late))
            .map(|at| at - began)
            .collect();
        assert_eq!(given, [0, 100, 200].map(Duration::from_millis));
    }

    #[test]
    fn open_loop_counts_the_rounds_it_missed() {
        let mut schedule = schedule(Pace::Open(10.0), u64::MAX);
        assert_eq!(schedule.next(schedule.end()), None);
        assert_eq!(std::iter::from_fn(|| schedule.missed()).count(), 30);
    }

    #[test]
    fn closed_loop_starts_rounds_until_its_end() {
        let mut schedule = schedule(Pace::Closed, u64::MAX);
        let (began, end) = (schedule.began, schedule.end());
        assert_eq!(schedule.next(began), Some(began));
        assert_eq!(schedule.next(end), None);
        assert!(schedule.is_over(end));
    }

    #[test]
    fn loops_start_at_most_rounds_max_rounds() {
        for pace in [Pace::Closed, Pace::Open(1000.0)] {
            let mut schedule = schedule(pace, 2);
            let now = schedule.began + Duration::from_millis(500);
            assert_eq!(std::iter::from_fn(|| schedule.next(now)).count(), 2);
            assert!(schedule.is_over(now));
        }
    }
}
