//! Poison: a command that can't be applied does not stop its partition.
//!
//! A batch that fails because of its content, and not because a server is down, is split in halves until the failing
//! command is alone. That command is retried a few times. Then it becomes a dead letter with its error, its client gets a
//! reply, and the partition continues after it. The order holds: the first half of a split batch is always applied first.
//!
//! A dead letter needs an operator. A database in a wrong state (a missing column, for example) fails with errors that look
//! like content, and every command would become a dead letter. So a batch without commands must succeed first.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use holdfast_common::domain::Changes;
use holdfast_common::encryption::Keyring;
use holdfast_common::messages::reply::Reply;
use holdfast_common::outcome::Outcome;
use sqlx::PgPool;

use crate::announce::Announcer;
use crate::apply::batch::{BatchResult, PartitionBatch};
use crate::apply::error::BatchError;
use crate::apply::group_commit::GroupCommit;
use crate::apply::pause::Pause;
use crate::apply::reader::{BatchPart, LogEntry, ReadBatch};
use crate::next_due::NextDue;
use crate::observe::metrics::METRICS;
use crate::progress::Progress;
use crate::store::dead_letters::{self, DeadLetter};
use crate::store::fence::{self, PartitionMove};
use crate::store::lease::Lease;

/// Tries of a command alone before it becomes a dead letter.
const TRIES_MAX: usize = 5;
/// The first and the longest pause between those tries.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The result of an attempt that did not fail.
enum AttemptResult {
    /// The commands are applied.
    Applied,
    /// Something else had to come first. The commands have still to be applied.
    Again,
}

/// Why an attempt applied nothing.
enum AttemptFailure {
    /// The commands, or the rows that they name, cause the error.
    Content(Arc<BatchError>),
    Pause(Pause),
}

/// Applies the batches of partitions, and sets aside the commands that can't be applied.
pub struct PoisonGuard {
    pub pool: PgPool,
    pub keys: Keyring,
    pub lease: Duration,
    pub group_commit: Arc<GroupCommit>,
    pub announcer: Arc<Announcer>,
}

impl PoisonGuard {
    /// Applies a batch, except the commands of it that can't be applied. A stop of the process does not interrupt this.
    ///
    /// # Errors
    /// When the partition has to pause. `progress` says how much of the batch is applied by then.
    pub(crate) async fn apply(
        &self,
        progress: &mut Progress,
        batch: &Arc<ReadBatch>,
    ) -> Result<(), Pause> {
        // A stack of the ranges that are not applied yet, the first one on top. A split replaces the top by its halves, so
        // the stack holds about log2 of the batch's commands at most.
        let mut ranges = Vec::from([Range {
            start: 0,
            end: batch.entries.len(),
        }]);
        while let Some(range) = ranges.pop() {
            let part = BatchPart::of(batch, range.clone(), progress.lease.applied_seq);
            match self.attempt(progress, &part).await {
                Ok(AttemptResult::Applied) => {}
                Ok(AttemptResult::Again) => ranges.push(range),
                Err(AttemptFailure::Pause(pause)) => return Err(pause),
                Err(AttemptFailure::Content(error)) if range.is_empty() => return Err(error.into()),
                Err(AttemptFailure::Content(error)) if range.len() > 1 => {
                    let Range { start, end } = range;
                    let partition = progress.lease.partition;
                    tracing::warn!(%partition, %error, commands = end - start, "a batch failed because of its content; its halves are applied one after the other");
                    let middle = start + (end - start) / 2;
                    ranges.extend([middle..end, start..middle]);
                }
                Err(AttemptFailure::Content(error)) => {
                    self.apply_alone(progress, &part, error).await?
                }
            }
        }
        Ok(())
    }

    async fn attempt(
        &self,
        progress: &mut Progress,
        part: &BatchPart,
    ) -> Result<AttemptResult, AttemptFailure> {
        let batch = PartitionBatch {
            progress: progress.clone(),
            part: part.clone(),
        };
        // After a failure it is unknown whether the batch was committed, with new holds. So the next attempt searches for due
        // rows again.
        progress.next_due = NextDue::Unknown;
        match self.group_commit.apply(batch).await {
            Ok(BatchResult::Committed(end)) => {
                *progress = end;
                Ok(AttemptResult::Applied)
            }
            Ok(BatchResult::DueFirst | BatchResult::TooLate) => Ok(AttemptResult::Again),
            Ok(BatchResult::Fenced) => {
                METRICS.fenced.increment(1);
                Err(AttemptFailure::Pause(self.fenced(progress).await))
            }
            Err(error) => {
                error
                    .cause()
                    .iter()
                    .for_each(|cause| METRICS.count_failure(cause));
                progress.retries += 1;
                Err(if error.is_from_content() {
                    AttemptFailure::Content(error)
                } else {
                    AttemptFailure::Pause(error.into())
                })
            }
        }
    }

    async fn fenced(&self, progress: &Progress) -> Pause {
        Pause::after_fence(&self.pool, &progress.lease).await
    }

    /// Retries one command alone, and sets it aside when every try fails.
    async fn apply_alone(
        &self,
        progress: &mut Progress,
        part: &BatchPart,
        mut error: Arc<BatchError>,
    ) -> Result<(), Pause> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(PAUSE.0)
            .with_max_delay(PAUSE.1)
            .with_jitter();
        for pause in pauses.with_max_times(TRIES_MAX - 1).build() {
            tokio::time::sleep(pause).await;
            match self.attempt(progress, part).await {
                Ok(AttemptResult::Applied) => return Ok(()),
                Ok(AttemptResult::Again) => {}
                Err(AttemptFailure::Pause(pause)) => return Err(pause),
                Err(AttemptFailure::Content(again)) => error = again,
            }
        }
        // A batch without commands still moves the position and ends what is due. If even that fails, the command is not
        // the cause: it must not become a dead letter, and the partition pauses.
        let nothing = BatchPart::nothing(progress.lease.applied_seq);
        match self.attempt(progress, &nothing).await {
            Ok(AttemptResult::Applied | AttemptResult::Again) => {}
            Err(AttemptFailure::Pause(pause)) => return Err(pause),
            Err(AttemptFailure::Content(error)) => return Err(error.into()),
        }
        match self.set_aside(&progress.lease, part, &error).await? {
            Some(end) => *progress = end,
            None => return Err(self.fenced(progress).await),
        }
        Ok(())
    }

    /// Writes a command as a dead letter, and moves the position past it, in one transaction. `None` when the fence did not
    /// hold.
    async fn set_aside(
        &self,
        lease: &Lease,
        part: &BatchPart,
        error: &BatchError,
    ) -> sqlx::Result<Option<Progress>> {
        let row = PartitionMove::new(lease, part.to_seq);
        let mut transaction = self.pool.begin().await?;
        let Some(now) = fence::advance(&mut transaction, &row, self.lease).await? else {
            return Ok(None);
        };
        let tries = i32::try_from(TRIES_MAX).unwrap_or(i32::MAX);
        let (mut replies, text) = (Vec::new(), error.to_string());
        for LogEntry {
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
            dead_letters::write(&mut transaction, &self.keys, &letter, now).await?;
            tracing::error!(
                partition = %lease.partition, log_seq, tries, request_id = %command.request_id, action = command.action.name(),
                error = text, "a command can't be applied and is now a dead letter; see `holdfast dead-letters list`"
            );
            if !command.action.is_internal() {
                let reply = Reply {
                    request_id: command.request_id,
                    replayed: false,
                    outcome: Outcome::Failed,
                };
                replies.push((*ingress, reply));
            }
        }
        transaction.commit().await?;
        METRICS.dead_letters.increment(part.entries().len() as u64);
        let end = Progress::from(row.to);
        let ends = std::slice::from_ref(&end);
        self.announcer
            .send_committed(ends, &replies, Changes::default(), now)
            .await;
        Ok(Some(end))
    }
}
