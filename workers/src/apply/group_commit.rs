//! Groups: the batches of several partitions in one transaction (group commit).
//!
//! A transaction costs about as much for a few commands as for a few hundred. So only so many are on their way to
//! Postgres at once; the batches that partitions have ready meanwhile gather, and the next one takes them all. A
//! partition waits for its batch, so it has one here at most, and its order is kept. When a group fails for what is in
//! one of its batches, each is applied alone, and [`crate::apply::poison`] sees what it would have seen without the others.

use std::num::NonZero;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use holdfast_common::traces;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};

use crate::Worker;
use crate::apply::batch::{self, Applied, Batch, BatchError};
use crate::apply::reader::BATCH_COMMANDS_MAX;

/// How many transactions are on their way to Postgres at once: a core each, and two at least, so that one is decided
/// while another commits. With more of them the groups are smaller, and each unit dearer.
#[must_use]
pub fn groups_max() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(u32::MAX).clamp(2, 8)
}

/// What a batch is told; the batches of a group share an error.
pub type Told = Result<Applied, Arc<BatchError>>;

/// A batch that waits for its transaction.
struct Waiting {
    batch: Batch,
    span: Span,
    told: oneshot::Sender<Told>,
}

/// Where batches wait.
#[derive(Debug)]
pub struct Groups {
    queue: mpsc::Sender<Waiting>,
    queued: Arc<Mutex<mpsc::Receiver<Waiting>>>,
}

impl Groups {
    /// Nothing yet; room for one batch of each partition.
    #[must_use]
    pub fn new(partitions: u16) -> Self {
        let (queue, queued) = mpsc::channel(partitions.into());
        Self {
            queue,
            queued: Arc::new(Mutex::new(queued)),
        }
    }

    /// Applies a batch, in one transaction with those that are ready when its turn comes.
    ///
    /// # Errors
    /// Those of [`batch::apply`]; a panic in it, too, is one.
    pub async fn apply(&self, batch: Batch) -> Told {
        let (told, answer) = oneshot::channel();
        let gone = || Arc::new(BatchError::Stopped);
        self.queue
            .send(Waiting {
                batch,
                span: Span::current(),
                told,
            })
            .await
            .map_err(|_| gone())?;
        answer.await.unwrap_or_else(|_| Err(gone()))
    }

    async fn gather(&self) -> Option<Vec<Waiting>> {
        let mut queued = self.queued.lock().await;
        let mut group = vec![queued.recv().await?];
        let mut commands = group[0].batch.part.entries().len();
        while commands < BATCH_COMMANDS_MAX {
            let Ok(next) = queued.try_recv() else { break };
            commands += next.batch.part.entries().len();
            group.push(next);
        }
        Some(group)
    }
}

/// Starts what applies groups. It ends with the set.
pub fn start(worker: &Arc<Worker>) -> JoinSet<()> {
    let mut tasks = JoinSet::new();
    for _ in 0..groups_max() {
        let worker = Arc::clone(worker);
        tasks.spawn(async move {
            while let Some(group) = worker.groups.gather().await {
                apply(&worker, group).await;
            }
        });
    }
    tasks
}

async fn apply(worker: &Worker, group: Vec<Waiting>) {
    let (mut batches, mut callers) = (
        Vec::with_capacity(group.len()),
        Vec::with_capacity(group.len()),
    );
    let commands: usize = group
        .iter()
        .map(|waiting| waiting.batch.part.entries().len())
        .sum();
    let span = tracing::debug_span!(target: traces::TARGET, parent: &group[0].span, "transaction", commands);
    for Waiting {
        batch,
        span: of_batch,
        told,
    } in group
    {
        span.follows_from(&of_batch);
        batches.push(batch);
        callers.push(told);
    }
    let told = together(worker, &batches).instrument(span).await;
    for (caller, told) in callers.into_iter().zip(told) {
        // Nobody waits for it when its partition's task panicked.
        let _ = caller.send(told);
    }
}

/// Applies batches together; where that can't be, each alone.
async fn together(worker: &Worker, batches: &[Batch]) -> Vec<Told> {
    let is_fenced = |applied: &[Applied]| {
        applied
            .iter()
            .any(|applied| matches!(applied, Applied::Fenced))
    };
    match attempt(worker, batches).await {
        Ok(applied) if batches.len() == 1 || !is_fenced(&applied) => {
            applied.into_iter().map(Ok).collect()
        }
        // A server that is away is so for each of them.
        Err(error) if batches.len() == 1 || !error.is_of_content() => {
            let error = Arc::new(error);
            batches.iter().map(|_| Err(Arc::clone(&error))).collect()
        }
        _ => {
            let mut told = Vec::with_capacity(batches.len());
            for batch in batches {
                let applied = attempt(worker, std::slice::from_ref(batch)).await;
                told.push(
                    applied
                        .map(|mut applied| applied.remove(0))
                        .map_err(Arc::new),
                );
            }
            told
        }
    }
}

/// One attempt. A panic is a bug of ours, and fails only what it came from.
async fn attempt(worker: &Worker, batches: &[Batch]) -> Result<Vec<Applied>, BatchError> {
    let attempt = AssertUnwindSafe(batch::apply(worker, batches)).catch_unwind();
    attempt.await.unwrap_or_else(|panic| {
        let message = panic.downcast_ref::<String>().cloned();
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(BatchError::Panicked(message.unwrap_or_default()))
    })
}
