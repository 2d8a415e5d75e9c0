//! The result of a load: counts, statuses and latencies.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

use super::Verdict;
use super::schedule::Schedule;

/// The longest latency that the histogram distinguishes, in microseconds.
const LATENCY_US_MAX: u64 = 60_000_000;
const STATUSES: usize = 600;

pub(crate) struct LoadResult {
    /// Microseconds of the rounds that were due in the measured time.
    latencies: Histogram<u64>,
    /// Rounds that succeeded in the measured time.
    counted: u64,
    /// Rounds that succeeded, including the warm-up and the wait for the last responses.
    pub(crate) done: u64,
    /// Rounds that failed or got no response.
    pub(crate) failed: u64,
    /// Rounds of an open loop that did not start, because no connection was idle.
    pub(crate) unsent: u64,
    /// Connections that the server closed.
    pub(crate) reopened: u64,
    /// The measured time.
    elapsed: Duration,
    /// From the first request to the last response.
    pub(crate) whole: Duration,
    /// CPU time of the generator's thread.
    pub(crate) cpu: Duration,
    /// Number of responses by status.
    statuses: Vec<u64>,
    began: Instant,
    pub(crate) last_response_at: Instant,
}

impl LoadResult {
    pub(super) fn new() -> anyhow::Result<Self> {
        Ok(Self {
            latencies: Histogram::new_with_bounds(1, LATENCY_US_MAX, 3)?,
            counted: 0,
            done: 0,
            failed: 0,
            unsent: 0,
            reopened: 0,
            elapsed: Duration::ZERO,
            whole: Duration::ZERO,
            cpu: Duration::ZERO,
            statuses: vec![0; STATUSES],
            began: Instant::now(),
            last_response_at: Instant::now(),
        })
    }

    pub(super) fn begin(&mut self) {
        self.began = Instant::now();
        self.cpu = thread_cpu();
    }

    pub(super) fn record_response(&mut self, status: u16) {
        if let Some(count) = self.statuses.get_mut(usize::from(status)) {
            *count += 1;
        }
    }

    pub(super) fn record_round(
        &mut self,
        schedule: &Schedule,
        verdict: Verdict,
        began: Instant,
        now: Instant,
    ) {
        self.last_response_at = now;
        if verdict != Verdict::Done {
            self.failed += 1;
            return;
        }
        self.done += 1;
        if began >= schedule.counted_from() {
            self.latencies
                .saturating_record((now - began).as_micros() as u64);
        }
        if now >= schedule.counted_from() && now < schedule.end() {
            self.counted += 1;
        }
    }

    pub(super) fn end(&mut self, schedule: &mut Schedule, unanswered: u64) {
        self.cpu = thread_cpu().saturating_sub(self.cpu);
        self.whole = self.last_response_at - self.began;
        self.failed += unanswered;
        // Rounds that did not start have waited at least until now.
        let now = Instant::now();
        while let Some(at) = schedule.missed() {
            self.unsent += 1;
            self.latencies
                .saturating_record(now.saturating_duration_since(at).as_micros() as u64);
        }
        let ended = schedule.end().min(self.last_response_at);
        self.elapsed = ended.saturating_duration_since(schedule.counted_from());
    }

    /// Rounds that succeeded, per second of the measured time.
    pub(crate) fn per_second(&self) -> f64 {
        if self.elapsed.is_zero() {
            0.0
        } else {
            self.counted as f64 / self.elapsed.as_secs_f64()
        }
    }

    /// Latency in milliseconds.
    pub(crate) fn millis_at(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }

    /// Number of responses with this status.
    pub(crate) fn status(&self, status: u16) -> u64 {
        self.statuses[usize::from(status)]
    }

    /// The statuses that occurred, with their numbers of responses.
    pub(crate) fn statuses(&self) -> Vec<(u16, u64)> {
        let seen = self
            .statuses
            .iter()
            .enumerate()
            .filter(|(_, count)| **count > 0);
        seen.map(|(status, count)| (status as u16, *count))
            .collect()
    }
}

/// CPU time that this thread has used so far.
fn thread_cpu() -> Duration {
    let Ok(usage) = getrusage(UsageWho::RUSAGE_THREAD) else {
        return Duration::ZERO;
    };
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(micros.cast_unsigned())
}
