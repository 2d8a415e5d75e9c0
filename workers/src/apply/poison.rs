//! Poison: a command that can't be applied does not stop its partition.
//!
//! A batch that fails for what is in it, and not for a server that is away, is split until the command that fails is
//! alone. That one is tried a few times more; then it is set aside as a dead letter with its error, its client is
//! answered, and the partition goes on behind it. Order holds: of a split batch the first half is always applied first.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use holdfast_common::domain::Changes;
use holdfast_common::messages::reply::Reply;
use holdfast_common::outcome::Outcome;

use crate::Worker;
use crate::announce::{self, Told};
use crate::apply::batch::{Applied, Batch, BatchError};
use crate::apply::next_due::Horizon;
use crate::apply::partition::{Pause, why_fenced};
use crate::apply::reader::{self, Entry, Part};
use crate::observe::metrics::METRICS;
use crate::store::dead_letters::{self, DeadLetter};
use crate::store::lease::{self, Lease, Move};

/// How often a command is tried alone before it is set aside.
const TRIES_MAX: usize = 5;
/// The first pause between those tries, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// What an attempt did.
enum Step {
    /// The commands are applied.
    Applied,
    /// The commands have still to be applied: something had to come first.
    Again,
}

/// Why an attempt did nothing.
enum Failure {
    /// For what is in the commands or in the rows they name.
    Content(Arc<BatchError>),
    /// The partition is to be left alone for now.
    Pause(Pause),
}

/// Applies a batch, without those of its commands that can't be. Not given up by a stop: what was begun is ended.
///
/// # Errors
/// When the partition is to be left alone for now. What is applied by then is told by the lease.
pub(crate) async fn apply(
    worker: &Worker,
    lease: &mut Lease,
    horizon: &mut Horizon,
    retries: &mut u32,
    batch: &Arc<reader::Batch>,
) -> Result<(), Pause> {
    // What is still to be applied; the next comes last. Each split halves one, so there are never many.
    let mut ranges = Vec::from([Range {
        start: 0,
        end: batch.entries.len(),
    }]);
    while let Some(range) = ranges.pop() {
        let part = Part::of(batch, range.clone(), lease.applied_seq);
        match attempt(worker, lease, horizon, retries, &part).await {
            Ok(Step::Applied) => {}
            Ok(Step::Again) => ranges.push(range),
            Err(Failure::Pause(pause)) => return Err(pause),
            Err(Failure::Content(error)) if range.is_empty() => return Err(error.into()),
            Err(Failure::Content(error)) if range.len() > 1 => {
                let Range { start, end } = range;
                tracing::warn!(partition = %lease.partition, %error, commands = end - start, "a batch failed; it is split");
                let middle = start + (end - start) / 2;
                ranges.extend([middle..end, start..middle]);
            }
            Err(Failure::Content(error)) => {
                alone(worker, lease, horizon, retries, &part, error).await?
            }
        }
    }
    Ok(())
}

async fn attempt(
    worker: &Worker,
    lease: &mut Lease,
    horizon: &mut Horizon,
    retries: &mut u32,
    part: &Part,
) -> Result<Step, Failure> {
    // Should this fail, what is due has to be looked up anew.
    let known = lease.clone();
    let batch = Batch {
        known,
        horizon: std::mem::take(horizon),
        part: part.clone(),
        retries: *retries,
    };
    let applied = worker.groups.apply(batch).await;
    match applied {
        Ok(Applied::Committed(moved, next)) => {
            (*lease, *horizon, *retries) = (moved, next, 0);
            Ok(Step::Applied)
        }
        Ok(Applied::DueFirst | Applied::TooLate) => Ok(Step::Again),
        Ok(Applied::Fenced) => {
            METRICS.fenced.increment(1);
            Err(Failure::Pause(fenced(worker, lease).await))
        }
        Err(error) => {
            METRICS.failed(&error);
            *retries += 1;
            Err(if error.is_of_content() {
                Failure::Content(error)
            } else {
                Failure::Pause(error.into())
            })
        }
    }
}

async fn fenced(worker: &Worker, lease: &Lease) -> Pause {
    why_fenced(worker, lease).await.unwrap_or_else(Pause::from)
}

/// Tries a command alone, and in the end sets it aside.
async fn alone(
    worker: &Worker,
    lease: &mut Lease,
    horizon: &mut Horizon,
    retries: &mut u32,
    part: &Part,
    mut error: Arc<BatchError>,
) -> Result<(), Pause> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(PAUSE.0)
        .with_max_delay(PAUSE.1)
        .with_jitter();
    for pause in pauses.with_max_times(TRIES_MAX - 1).build() {
        tokio::time::sleep(pause).await;
        match attempt(worker, lease, horizon, retries, part).await {
            Ok(Step::Applied) => return Ok(()),
            Ok(Step::Again) => {}
            Err(Failure::Pause(pause)) => return Err(pause),
            Err(Failure::Content(again)) => error = again,
        }
    }
    // If nothing at all can be applied, it is not this command's fault.
    match attempt(
        worker,
        lease,
        horizon,
        retries,
        &Part::nothing(lease.applied_seq),
    )
    .await
    {
        Ok(Step::Applied | Step::Again) => {}
        Err(Failure::Pause(pause)) => return Err(pause),
        Err(Failure::Content(error)) => return Err(error.into()),
    }
    let tries = i32::try_from(TRIES_MAX).unwrap_or(i32::MAX);
    match set_aside(worker, lease, part, &error, tries).await? {
        Some(row) => (*lease, *retries) = (row, 0),
        None => return Err(fenced(worker, lease).await),
    }
    Ok(())
}

/// Sets a command that can't be applied aside, and goes on behind it. `None` when another worker has the partition.
async fn set_aside(
    worker: &Worker,
    known: &Lease,
    part: &Part,
    error: &BatchError,
    tries: i32,
) -> sqlx::Result<Option<Lease>> {
    let to = Lease {
        applied_seq: part.to_seq,
        ..known.clone()
    };
    let row = Move {
        known: known.clone(),
        to,
    };
    let mut transaction = worker.pool.begin().await?;
    let Some(now) = lease::advance(&mut transaction, &row, worker.lease()).await? else {
        return Ok(None);
    };
    let (mut replies, text) = (Vec::new(), error.to_string());
    for Entry {
        ingress,
        command,
        log_seq,
    } in part.entries()
    {
        let letter = DeadLetter {
            command,
            log_seq: *log_seq,
            error: &text,
            tries,
        };
        dead_letters::bury(&mut transaction, &worker.keys, &letter, now).await?;
        tracing::error!(
            partition = %known.partition, log_seq, tries, request_id = %command.request_id, action = command.action.name(),
            error = text, "a command could not be applied and is a dead letter: see `holdfast dead-letters`"
        );
        let reply = Reply {
            request_id: command.request_id,
            replayed: false,
            outcome: Outcome::Failed,
        };
        if !command.action.is_internal() {
            replies.push((*ingress, reply));
        }
    }
    transaction.commit().await?;
    METRICS.dead_letters.increment(part.entries().len() as u64);
    let told = Told {
        lease: &row.to,
        horizon: Horizon::Unknown,
    };
    announce::committed(worker, &[told], &replies, Changes::default(), now).await;
    Ok(Some(row.to))
}
