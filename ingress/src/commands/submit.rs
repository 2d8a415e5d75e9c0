//! From a command to its outcome: publish, wait, and look once more before saying "later".
//!
//! An outcome is told only when a worker has committed it: either the worker says so, or the row is there. A request
//! that is accepted and not done in time is told where to ask. Each request that waits keeps all that its way may need
//! in memory, so what few of them need is boxed: with it a request would take 10 KB.

use std::time::Duration;

use holdfast_common::command::Command;
use holdfast_common::domain::Decision;
use holdfast_common::id::RequestId;
use holdfast_common::messages::envelope::encode_command;
use tokio::time::{Instant, timeout_at};

use crate::App;
use crate::commands::load_shedding::Room;
use crate::commands::publisher::{NotPublished, Publication};
use crate::commands::waiters::{Answer, Waiting};
use crate::store;

/// How long the look at an outcome's row may take, when its reply did not come.
const LOOK_WAIT: Duration = Duration::from_secs(1);

/// What a request is told.
#[derive(Debug)]
pub enum Submitted {
    /// What became of it.
    Done(Decision),
    /// It is in the log and not applied yet.
    Queued(Queued),
}

/// A request in line.
#[derive(Clone, Copy, Debug)]
pub struct Queued {
    /// The request to ask for.
    pub request_id: RequestId,
    /// Its envelope's sequence in the log.
    pub seq: u64,
    /// How many entries of the log are still ahead of it.
    pub position: u64,
}

impl Queued {
    /// A request at a place in the log that is applied up to `applied_seq`.
    #[must_use]
    pub fn new(request_id: RequestId, seq: u64, applied_seq: u64) -> Self {
        Self {
            request_id,
            seq,
            position: seq.saturating_sub(applied_seq + 1),
        }
    }
}

/// Publishes a command and waits so long for its outcome. With no wait, it still waits until the command is in the log.
///
/// # Errors
/// When the command is not in the log as far as we know.
pub async fn submit(
    app: &App,
    command: &Command,
    wait: Duration,
) -> Result<Submitted, NotPublished> {
    if !app.connections.has_nats() {
        return Err(NotPublished::Unavailable);
    }
    let begun = Instant::now();
    let partition = app.settings.nats.partitions.of(command.slot());
    let request_id = command.request_id;
    // The place is taken first: the outcome may be there before the publisher's queue lets go of us.
    let room = Room::of(&command.action);
    let mut waiting = app
        .waiters
        .wait(request_id, room)
        .ok_or(NotPublished::QueueFull)?;
    let publication = app
        .publisher
        .push(partition, request_id, &encode_command(command), room)?;
    if !wait.is_zero()
        && let Ok(answer) = timeout_at(begun + wait, waiting.answer()).await
    {
        return done(answer);
    }
    let give_up = begun + Duration::from_millis(app.settings.ingress.request_wait_ms);
    if wait.is_zero() {
        // Who does not want to wait is told the place in line, though the outcome may be there by now.
        let published = timeout_at(give_up, publication.wait()).await;
        let seq = (*published.map_err(|_| NotPublished::Unavailable)?)?;
        return Ok(Box::pin(in_line(app, command, seq)).await);
    }
    match accepted(&mut waiting, &publication, give_up).await? {
        Accepted::Done(submitted) => Ok(submitted),
        Accepted::At(seq) => Ok(Box::pin(look_once(app, command, seq)).await),
    }
}

enum Accepted {
    Done(Submitted),
    At(u64),
}

fn done(answer: Answer) -> Result<Submitted, NotPublished> {
    match answer {
        Answer::Decision(decision) => Ok(Submitted::Done(decision)),
        Answer::NotPublished(reason) => Err(reason),
    }
}

/// Waits until the command is in the log, or its outcome overtakes the acknowledgement.
async fn accepted(
    waiting: &mut Waiting,
    publication: &Publication,
    give_up: Instant,
) -> Result<Accepted, NotPublished> {
    let accepted = async {
        tokio::select! {
            biased;
            published = publication.wait() => published.map(Accepted::At),
            answer = waiting.answer() => done(answer).map(Accepted::Done),
        }
    };
    timeout_at(give_up, accepted)
        .await
        .unwrap_or(Err(NotPublished::Unavailable))
}

/// The reply may have been lost: the row is what counts.
async fn look_once(app: &App, command: &Command, seq: u64) -> Submitted {
    let partition = app.settings.nats.partitions.of(command.slot());
    let look = store::request(
        &app.connections.pool,
        app.keys(),
        command.request_id,
        partition,
    );
    match tokio::time::timeout(LOOK_WAIT, look).await {
        Ok(Ok((Some(decision), _))) => return Submitted::Done(decision),
        Ok(Ok((None, _))) => {}
        Ok(Err(error)) => tracing::warn!(%error, "an outcome could not be looked up"),
        Err(_) => tracing::warn!("an outcome could not be looked up in {LOOK_WAIT:?}"),
    }
    in_line(app, command, seq).await
}

async fn in_line(app: &App, command: &Command, seq: u64) -> Submitted {
    let log = app.log.state(seq).await.ok();
    let is_in_log = |id: RequestId| log.is_none_or(|log| log.may_have(id));
    let own = (command.request_id, seq);
    let first = if is_in_log(own.0) {
        app.queued_keys.claim(command, own).await
    } else {
        own
    };
    // A claim may be of a request that was lost with an earlier log: then this one is the first.
    let (request_id, seq) = if is_in_log(first.0) { first } else { own };
    let position = app
        .positions
        .of(app.settings.nats.partitions.of(command.slot()));
    // Without an answer of NATS, as if the stream was still the same.
    let applied_seq = log.map_or(position.applied_seq, |log| log.applied_seq(position));
    Submitted::Queued(Queued::new(request_id, seq, applied_seq))
}
