//! What the workers count, and how it is called.
//!
//! Once a batch or less often: nothing is looked up or locked for a single command. Handles are registered once and held
//! here. What a batch's commands came to is gathered by [`crate::observe::batch_log`].

use std::sync::atomic::Ordering;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use holdfast_common::metrics::{Counter, Gauge, Histogram, LOOK_EVERY, PoolUse};
use holdfast_common::metrics::{counter_of, gauge_of, histogram_of, keep_up, label};
use holdfast_common::partition::Partition;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::apply::batch::BatchError;
use crate::observe::worker_stats::{Envelopes, TALLY};

const COMMANDS: (&str, &str) = (
    "holdfast_commands_total",
    "Commands that were applied, by action and by what became of them; replays as such.",
);

/// Outcomes that alerts are made of: a rate needs a beginning.
const COUNTED_FROM_0: [(&str, &str); 5] = [
    ("create_hold", "created"),
    ("create_hold", "insufficient_stock"),
    ("settle_payment", "processed"),
    ("settle_payment", "parked"),
    ("settle_payment", "mismatch"),
];

/// What the workers count.
pub(crate) struct Measures {
    /// Commands in a batch.
    pub(crate) batch_commands: Histogram,
    stages: [Histogram; Stage::ALL.len()],
    failures: [(&'static str, Counter); 5],
    /// Batches that found another worker, or their own commit.
    pub(crate) fenced: Counter,
    /// Partitions that this worker took.
    pub(crate) taken: Counter,
    /// Commands that were set aside.
    pub(crate) dead_letters: Counter,
    /// How late holds and orders were ended.
    pub(crate) expiry_lag: Histogram,
    /// Refund requests that the shop accepted, and that it did not.
    pub(crate) refunds_accepted: Counter,
    pub(crate) refunds_failed: Counter,
}

/// What this process counts.
pub(crate) static METRICS: LazyLock<Measures> = LazyLock::new(Measures::register);

impl Measures {
    fn register() -> Self {
        for (action, outcome) in COUNTED_FROM_0 {
            let _ = commands(action, outcome);
        }
        let stage = |stage: Stage| {
            let help = "Seconds that a batch took, by stage; commit is the statement that writes and commits.";
            histogram_of(
                "holdfast_batch_stage_seconds",
                help,
                &[label("stage", stage.name())],
            )
        };
        let failure = |cause| {
            let help = "Batches that were not applied, by cause; each is tried again, or split.";
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
            let help = "Refund requests that were posted, by whether they were accepted.";
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
                "Batches that were dropped since the partition's row was another's, or already moved.",
                &[],
            ),
            taken: counter_of(
                "holdfast_partitions_taken_total",
                "Partitions that a worker took.",
                &[],
            ),
            dead_letters: counter_of(
                "holdfast_dead_letters_total",
                "Commands that were set aside.",
                &[],
            ),
            expiry_lag: histogram_of(
                "holdfast_expiry_lag_seconds",
                "Seconds from when a hold or an unpaid order fell due until its units were back.",
                &[],
            ),
            refunds_accepted: refunds("accepted"),
            refunds_failed: refunds("failed"),
        }
    }

    /// Counts a batch that was not applied.
    pub(crate) fn failed(&self, error: &BatchError) {
        let cause = match error {
            BatchError::Ticket(_) => "ticket",
            BatchError::Panicked(_) => "content",
            BatchError::Stopped => return,
            BatchError::Postgres(error) => match error
                .as_database_error()
                .and_then(|error| error.code())
                .as_deref()
            {
                Some("40P01") => "deadlock",
                Some("40001") => "serialization",
                _ if crate::apply::batch::is_of_content(error) => "content",
                _ => "postgres",
            },
        };
        let counter = self.failures.iter().find(|(name, _)| *name == cause);
        counter.iter().for_each(|(_, counter)| counter.increment(1));
    }
}

/// Counts what became of commands of one kind: the only look-up, once a batch for each kind.
pub(crate) fn commands(action: &'static str, outcome: &'static str) -> Counter {
    counter_of(
        COMMANDS.0,
        COMMANDS.1,
        &[label("action", action), label("outcome", outcome)],
    )
}

/// The parts of a batch's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waiting for a connection.
    Connection,
    /// Reading what the commands name and what is due.
    Load,
    /// The decision.
    Decide,
    /// Storing tickets.
    Ticket,
    /// The one statement that checks the fence, writes and commits.
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

/// Times the stages of one batch, each from the end of the one before.
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

    /// From the beginning to the end of the last stage.
    pub(crate) fn whole(&self) -> Duration {
        self.last - self.begun
    }
}

/// How many envelopes of a partition are in the log and not applied.
pub(crate) struct Backlog {
    gauge: Gauge,
    partition: Partition,
    told: Envelopes,
}

impl Backlog {
    pub(crate) fn of(partition: Partition) -> Self {
        let help = "Envelopes of a partition that are not applied, as its worker saw when it read the log last.";
        let gauge = gauge_of(
            "holdfast_backlog_envelopes",
            help,
            &[label("partition", partition.to_string())],
        );
        Self {
            gauge,
            partition,
            told: TALLY.begin(partition),
        }
    }

    pub(crate) fn set(&self, envelopes: u64) {
        self.gauge.set(envelopes as f64);
        self.told.store(envelopes, Ordering::Relaxed);
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        // It is another worker's to tell.
        self.set(0);
        TALLY.end(self.partition, &self.told);
    }
}

/// Looks at what is in use until the process stops.
pub(crate) async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let pool = PoolUse::register("workers");
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        keep_up();
        pool.look(&worker.pool);
    }
}
