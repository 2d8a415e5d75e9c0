//! Group commit: the batches of several partitions in one transaction.
//!
//! A transaction costs about the same for a few commands as for a few hundred. So the number of transactions in progress
//! is small and fixed. While they run, the batches that partitions have ready wait in a queue, and the next transaction
//! takes all of them. The busier the process, the larger the groups: no timer is needed, and an idle process never waits.
//!
//! A partition waits for its batch before it sends the next one. So it has at most one batch here, its order is kept, and
//! the queue is bounded by the number of partitions.
//!
//! When a group fails because of one batch's content, or is fenced for one partition, each batch is applied alone. So
//! [`crate::apply::poison`] gets the same result as without the other batches.

use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use holdfast_common::partition::Partitions;
use holdfast_common::traces;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use crate::apply::batch::{BatchCycle, BatchResult, PartitionBatch};
use crate::apply::error::BatchError;
use crate::apply::reader::BATCH_COMMANDS_MAX;

/// Transactions in progress at once: one for each core, and at least two, so that one is decided while another commits.
/// More of them make smaller groups, and each unit costs more.
#[must_use]
pub fn transactions_max() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX).clamp(2, 8)
}

/// The result of one batch. The batches of a group share an error.
pub type GroupResult = Result<BatchResult, Arc<BatchError>>;

/// A batch that waits for its transaction.
struct WaitingBatch {
    batch: PartitionBatch,
    span: Span,
    result: oneshot::Sender<GroupResult>,
}

/// The queue of batches.
#[derive(Debug)]
pub struct GroupCommit {
    queue: mpsc::Sender<WaitingBatch>,
    /// One task at a time gathers a group, so that the group gets all waiting batches. The mutex is free during the
    /// transaction.
    waiting: Mutex<mpsc::Receiver<WaitingBatch>>,
}

impl GroupCommit {
    /// The queue has room for one batch of each partition, so a send never waits.
    #[must_use]
    pub fn new(partitions: Partitions) -> Self {
        let (queue, waiting) = mpsc::channel(partitions.count().into());
        Self {
            queue,
            waiting: Mutex::new(waiting),
        }
    }

    /// Applies a batch, in one transaction with those that are waiting when its turn comes.
    ///
    /// Not cancel safe: a batch whose caller stops waiting may still be committed. Then the position in this process is too
    /// low, and the fence stops its next batch.
    ///
    /// # Errors
    /// Those of [`BatchCycle::apply`]. A panic in it is an error, too.
    pub async fn apply(&self, batch: PartitionBatch) -> GroupResult {
        let (result, received) = oneshot::channel();
        let stopped = || Arc::new(BatchError::Stopped);
        let waiting = WaitingBatch {
            batch,
            span: Span::current(),
            result,
        };
        self.queue.send(waiting).await.map_err(|_| stopped())?;
        received.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Waits for a batch, and takes with it all that wait, up to a bound on their commands.
    async fn gather(&self) -> Option<Vec<WaitingBatch>> {
        let mut waiting = self.waiting.lock().await;
        let mut group = vec![waiting.recv().await?];
        let mut commands = group[0].batch.part.entries().len();
        while commands < BATCH_COMMANDS_MAX {
            let Ok(next) = waiting.try_recv() else { break };
            commands += next.batch.part.entries().len();
            group.push(next);
        }
        Some(group)
    }
}

/// Starts the tasks that apply groups, [`transactions_max`] of them. They end when the set is dropped.
pub fn start(groups: &Arc<GroupCommit>, cycle: BatchCycle) -> JoinSet<()> {
    let (mut tasks, cycle) = (JoinSet::new(), Arc::new(cycle));
    for _ in 0..transactions_max() {
        let (groups, cycle) = (Arc::clone(groups), Arc::clone(&cycle));
        tasks.spawn(async move {
            while let Some(group) = groups.gather().await {
                apply_group(&cycle, group).await;
            }
        });
    }
    tasks
}

async fn apply_group(cycle: &BatchCycle, group: Vec<WaitingBatch>) {
    let mut batches = Vec::with_capacity(group.len());
    let mut callers = Vec::with_capacity(group.len());
    let commands: usize = group
        .iter()
        .map(|waiting| waiting.batch.part.entries().len())
        .sum();
    let span = tracing::debug_span!(target: traces::TARGET, parent: &group[0].span, "transaction", commands);
    for waiting in group {
        span.follows_from(&waiting.span);
        batches.push(waiting.batch);
        callers.push(waiting.result);
    }
    let results = apply_batches(cycle, &batches).instrument(span).await;
    for (caller, result) in callers.into_iter().zip(results) {
        // Fails only when the partition's task panicked; then nobody waits for the result.
        let _ = caller.send(result);
    }
}

/// Applies batches together. When that fails for a reason that may be one batch's own, applies each alone.
async fn apply_batches(cycle: &BatchCycle, batches: &[PartitionBatch]) -> Vec<GroupResult> {
    let is_fenced = |applied: &[BatchResult]| {
        applied
            .iter()
            .any(|applied| matches!(applied, BatchResult::Fenced))
    };
    match attempt(cycle, batches).await {
        Ok(applied) if batches.len() == 1 || !is_fenced(&applied) => {
            applied.into_iter().map(Ok).collect()
        }
        // The server failed, not a batch. Alone, each batch would fail, too.
        Err(error) if batches.len() == 1 || !error.is_from_content() => {
            let error = Arc::new(error);
            batches.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
        _ => {
            let mut results = Vec::with_capacity(batches.len());
            for batch in batches {
                let applied = attempt(cycle, std::slice::from_ref(batch)).await;
                results.push(
                    applied
                        .map(|mut applied| applied.remove(0))
                        .map_err(Arc::new),
                );
            }
            results
        }
    }
}

/// One attempt. A panic becomes an error, so that one bad row or command does not stop the other partitions.
async fn attempt(
    cycle: &BatchCycle,
    batches: &[PartitionBatch],
) -> Result<Vec<BatchResult>, BatchError> {
    let attempt = AssertUnwindSafe(cycle.apply(batches)).catch_unwind();
    attempt.await.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(BatchError::Panicked(message.unwrap_or_default()))
    })
}
