//! From a command to its outcome: publish, wait, and read the row once before responding 202.
//!
//! A client gets an outcome only after a worker has committed it: either the worker's reply arrives, or the row is in
//! Postgres. A request whose outcome is not there in time gets 202 and the URL of its status.
//!
//! Thousands of requests wait at once, and each keeps the state of its future in memory. The steps that few of them reach
//! are boxed: without the boxes, each waiting request would take 10 KB.

use std::sync::Arc;
use std::time::Duration;

use holdfast_common::command::Command;
use holdfast_common::domain::Decision;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::RequestId;
use holdfast_common::messages::envelope::encode_command;
use holdfast_common::partition::Partitions;
use sqlx::PgPool;
use tokio::time::{Instant, timeout_at};

use crate::commands::load_shedding::Priority;
use crate::commands::log_end::LogEnd;
use crate::commands::not_published::NotPublished;
use crate::commands::positions::AppliedPositions;
use crate::commands::publisher::{Publication, Publisher};
use crate::commands::queued_keys::QueuedKeys;
use crate::commands::waiters::{Waiter, Waiters};
use crate::connections::NatsStatus;
use crate::store;

/// The timeout for reading an outcome's row after its reply did not arrive. After it, the client gets 202.
const READ_WAIT: Duration = Duration::from_secs(1);

/// The result of submitting a command.
#[derive(Debug)]
pub enum Submitted {
    Done(Decision),
    /// The command is in the log, and its outcome is not known yet.
    Queued(QueuedRequest),
}

/// A request whose command is in the log.
#[derive(Clone, Copy, Debug)]
pub struct QueuedRequest {
    pub request_id: RequestId,
    /// The sequence of its envelope in the log.
    pub seq: u64,
    /// The number of log entries ahead of it.
    pub position: u64,
}

impl QueuedRequest {
    /// A request at `seq` in a log whose entries up to `applied_seq` are applied.
    #[must_use]
    pub fn new(request_id: RequestId, seq: u64, applied_seq: u64) -> Self {
        Self {
            request_id,
            seq,
            position: seq.saturating_sub(applied_seq + 1),
        }
    }
}

/// Submits commands and waits for their outcomes.
pub struct Submitter {
    pub nats: NatsStatus,
    pub pool: PgPool,
    pub keys: Keyring,
    pub partitions: Partitions,
    /// `REQUEST_WAIT_MS`.
    pub request_wait: Duration,
    pub waiters: Arc<Waiters>,
    pub publisher: Publisher,
    pub positions: Arc<AppliedPositions>,
    pub queued_keys: QueuedKeys,
    pub log_end: Arc<LogEnd>,
}

impl Submitter {
    /// Publishes a command and waits for its outcome, at most `wait`. With no wait, it still waits until the command is in
    /// the log.
    ///
    /// # Errors
    /// When the command is not known to be in the log.
    pub async fn submit(
        &self,
        command: &Command,
        wait: Duration,
    ) -> Result<Submitted, NotPublished> {
        if !self.nats.is_connected() {
            return Err(NotPublished::Unavailable);
        }
        let begun = Instant::now();
        let request_id = command.request_id;
        let priority = Priority::of(&command.action);
        // The waiter comes first. A worker may reply before `push` returns, and a reply without a waiter is dropped.
        let mut waiter = self
            .waiters
            .wait(request_id, priority)
            .ok_or(NotPublished::QueueFull)?;
        let publication = self.publisher.push(
            self.partitions.of(command.slot()),
            request_id,
            &encode_command(command),
            priority,
        )?;
        if !wait.is_zero()
            && let Ok(result) = timeout_at(begun + wait, waiter.result()).await
        {
            return result.map(Submitted::Done);
        }
        let give_up = begun + self.request_wait;
        if wait.is_zero() {
            // The client asked for no outcome, so it gets its position, even when the outcome is there by now.
            let published = timeout_at(give_up, publication.wait()).await;
            let seq = (*published.map_err(|_| NotPublished::Unavailable)?)?;
            return Ok(Box::pin(self.queued(command, seq)).await);
        }
        match published_or_done(&mut waiter, &publication, give_up).await? {
            PublishProgress::Done(decision) => Ok(Submitted::Done(decision)),
            PublishProgress::Published(seq) => Ok(Box::pin(self.read_outcome(command, seq)).await),
        }
    }

    /// Reads the outcome's row, because the reply may be lost: a worker that dies after its commit sends no replies. This
    /// one read saves the client a 202 and a poll for an outcome that is already committed.
    async fn read_outcome(&self, command: &Command, seq: u64) -> Submitted {
        let partition = self.partitions.of(command.slot());
        let read = store::request(&self.pool, &self.keys, command.request_id, partition);
        match tokio::time::timeout(READ_WAIT, read).await {
            Ok(Ok((Some(decision), _))) => return Submitted::Done(decision),
            Ok(Ok((None, _))) => {}
            Ok(Err(error)) => tracing::warn!(
                %error, request_id = %command.request_id,
                "reading an outcome failed; the client gets 202"
            ),
            Err(_) => tracing::warn!(
                request_id = %command.request_id, timeout = ?READ_WAIT,
                "reading an outcome timed out; the client gets 202"
            ),
        }
        self.queued(command, seq).await
    }

    async fn queued(&self, command: &Command, seq: u64) -> Submitted {
        let log = self.log_end.covering(seq).await.ok();
        let may_be_in_log = |id: RequestId| log.is_none_or(|log| log.may_contain(id));
        let own = (command.request_id, seq);
        let first = if may_be_in_log(own.0) {
            self.queued_keys.claim(command, own).await
        } else {
            own
        };
        // The claim may be of a request that was lost with an earlier stream. Then this request is the first.
        let (request_id, seq) = if may_be_in_log(first.0) { first } else { own };
        let position = self.positions.of(self.partitions.of(command.slot()));
        // When NATS does not respond, the stream is taken to be the same as before.
        let applied_seq = log.map_or(position.applied_seq, |log| log.applied_seq(position));
        Submitted::Queued(QueuedRequest::new(request_id, seq, applied_seq))
    }
}

enum PublishProgress {
    Done(Decision),
    Published(u64),
}

/// Waits until the command is in the log, or until its outcome arrives before the acknowledgement.
async fn published_or_done(
    waiter: &mut Waiter,
    publication: &Publication,
    give_up: Instant,
) -> Result<PublishProgress, NotPublished> {
    let first = async {
        tokio::select! {
            biased;
            published = publication.wait() => published.map(PublishProgress::Published),
            result = waiter.result() => result.map(PublishProgress::Done),
        }
    };
    timeout_at(give_up, first)
        .await
        .unwrap_or(Err(NotPublished::Unavailable))
}
