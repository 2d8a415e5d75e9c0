//! The workers' metrics and their names.
//!
//! Handles are registered once and kept here. They are used once a batch or less often, so a single command costs no
//! look-up and no lock. [`crate::observe::batch_log`] gathers the outcomes of a batch's commands.

use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use holdfast_common::metrics::{Counter, Gauge, Histogram, PoolUse, UPDATE_EVERY};
use holdfast_common::metrics::{counter_of, gauge_of, histogram_of, label, run_upkeep};
use holdfast_common::partition::Partition;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::observe::worker_stats::{EnvelopeCount, WORKER_STATS};

const COMMANDS: (&str, &str) = (
    "holdfast_commands_total",
    "Commands that were applied, by action and outcome. Replays have the outcome `replayed`.",
);

/// Outcomes that alerts use. They are registered with 0: a rate needs a first value.
const COUNTED_FROM_0: [(&str, &str); 5] = [
    ("create_hold", "created"),
    ("create_hold", "insufficient_stock"),
    ("settle_payment", "processed"),
    ("settle_payment", "parked"),
    ("settle_payment", "mismatch"),
];

pub(crate) struct Metrics {
    pub(crate) batch_commands: Histogram,
    stages: [Histogram; Stage::ALL.len()],
    failures: [(&'static str, Counter); 5],
    pub(crate) fenced: Counter,
    pub(crate) taken: Counter,
    pub(crate) dead_letters: Counter,
    pub(crate) expiry_lag: Histogram,
    pub(crate) refunds_accepted: Counter,
    pub(crate) refunds_failed: Counter,
}

pub(crate) static METRICS: LazyLock<Metrics> = LazyLock::new(Metrics::register);

impl Metrics {
    fn register() -> Self {
        for (action, outcome) in COUNTED_FROM_0 {
            let _ = commands(action, outcome);
        }
        let stage = |stage: Stage| {
            let help = "Seconds of a batch, by stage. The stage commit is the statement that writes and commits.";
            histogram_of(
                "holdfast_batch_stage_seconds",
                help,
                &[label("stage", stage.name())],
            )
        };
        let failure = |cause| {
            let help = "Batches that were not applied, by cause. Each is retried or split.";
            (
                cause,
                counter_of(
                    "holdfast_batch_failures_total",
                    help,
                    &[label("cause", cause)],
                ),
            )
        };
        let refunds = |result| {
            let help = "Refund requests that were posted, by result: accepted or failed.";
            counter_of(
                "holdfast_refund_requests_total",
                help,
                &[label("result", result)],
            )
        };
        Self {
            batch_commands: histogram_of("holdfast_batch_commands", "Commands in a batch.", &[]),
            stages: Stage::ALL.map(stage),
            failures: ["deadlock", "serialization", "content", "ticket", "postgres"].map(failure),
            fenced: counter_of(
                "holdfast_batches_fenced_total",
                "Batches that were dropped because another worker has the partition, or because their own commit had succeeded.",
                &[],
            ),
            taken: counter_of(
                "holdfast_partitions_taken_total",
                "Partitions that a worker took.",
                &[],
            ),
            dead_letters: counter_of(
                "holdfast_dead_letters_total",
                "Commands that became dead letters.",
                &[],
            ),
            expiry_lag: histogram_of(
                "holdfast_expiry_lag_seconds",
                "Seconds from the due time of a hold or an unpaid order until its units were available again.",
                &[],
            ),
            refunds_accepted: refunds("accepted"),
            refunds_failed: refunds("failed"),
        }
    }

    /// Counts a batch that was not applied, by one of the causes of `BatchError::cause`.
    pub(crate) fn count_failure(&self, cause: &str) {
        let counter = self.failures.iter().find(|(name, _)| *name == cause);
        counter.iter().for_each(|(_, counter)| counter.increment(1));
    }
}

/// The counter of an action and outcome. This is the only look-up, once a batch for each pair.
pub(crate) fn commands(action: &'static str, outcome: &'static str) -> Counter {
    counter_of(
        COMMANDS.0,
        COMMANDS.1,
        &[label("action", action), label("outcome", outcome)],
    )
}

/// The stages of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for a connection.
    Connection,
    /// Reading the rows that the commands name and the rows that are due.
    Load,
    Decide,
    /// Storing tickets.
    Ticket,
    /// The statement that checks the fence, writes and commits.
    Commit,
}

impl Stage {
    const ALL: [Self; 5] = [
        Self::Connection,
        Self::Load,
        Self::Decide,
        Self::Ticket,
        Self::Commit,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Load => "load",
            Self::Decide => "decide",
            Self::Ticket => "ticket",
            Self::Commit => "commit",
        }
    }
}

/// Measures the stages of one batch, each from the end of the previous one.
pub(crate) struct Stages {
    begun: Instant,
    last: Instant,
}

impl Stages {
    pub(crate) fn begin() -> Self {
        let now = Instant::now();
        Self {
            begun: now,
            last: now,
        }
    }

    pub(crate) fn end(&mut self, stage: Stage) {
        let now = Instant::now();
        METRICS.stages[stage as usize].record(now - self.last);
        self.last = now;
    }

    /// The time from the beginning to the end of the last stage.
    pub(crate) fn total(&self) -> Duration {
        self.last - self.begun
    }
}

/// The number of envelopes of a partition that are in the log and not applied.
pub(crate) struct BacklogGauge {
    gauge: Gauge,
    partition: Partition,
    stats: EnvelopeCount,
}

impl BacklogGauge {
    pub(crate) fn of(partition: Partition) -> Self {
        let help = "Envelopes of a partition that are not applied, counted when its worker last read the log.";
        let gauge = gauge_of(
            "holdfast_backlog_envelopes",
            help,
            &[label("partition", partition.to_string())],
        );
        Self {
            gauge,
            partition,
            stats: WORKER_STATS.add_partition(partition),
        }
    }

    pub(crate) fn set(&self, envelopes: u64) {
        self.gauge.set(envelopes as f64);
        self.stats.store(envelopes, Ordering::Relaxed);
    }
}

impl Drop for BacklogGauge {
    fn drop(&mut self) {
        // From now on another worker reports this partition.
        self.set(0);
        WORKER_STATS.remove_partition(self.partition, &self.stats);
    }
}

/// Updates the gauges until the process stops.
pub(crate) async fn run(pool: PgPool, stop: CancellationToken) {
    let connections = PoolUse::register("workers");
    let mut turn = tokio::time::interval(UPDATE_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        run_upkeep();
        connections.update(&pool);
    }
}
