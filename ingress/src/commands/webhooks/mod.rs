//! A webhook's way into the log and back.
//!
//! Each is a message of its own (see [`publisher`]), with a message id made of its key and its body, so that JetStream
//! itself drops a duplicate; the idempotency table drops those that come later. A dropped duplicate has no command that
//! a worker could answer, so it waits until the first one's place is applied and is told the first one's outcome.

pub mod publisher;

use std::time::Duration;

use holdfast_common::command::{Command, IdempotencyKey};
use holdfast_common::domain::Decision;
use holdfast_common::messages::envelope::{EnvelopeBuilder, encode_command};
use holdfast_common::outcome::{Outcome, Refusal};
use tokio::time::{Instant, timeout, timeout_at};

use self::publisher::Stored;
use crate::App;
use crate::commands::load_shedding::Room;
use crate::commands::publisher::NotPublished;
use crate::commands::waiters::Answer;
use crate::store;

/// How long a duplicate waits for news of the first one before it looks again by itself.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Publishes a webhook's command and waits until what it did is committed.
///
/// # Errors
/// When that can't be had in time; the provider will come again.
pub async fn deliver(app: &App, command: &Command) -> Result<Decision, NotPublished> {
    tracing::debug!(
        request_id = %command.request_id, action = command.action.name(),
        hold_id = command.action.named_hold().map(tracing::field::display), "command submitted"
    );
    let give_up = Instant::now() + Duration::from_millis(app.settings.ingress.request_wait_ms);
    let mut waiting = app
        .waiters
        .wait(command.request_id, Room::of(&command.action))
        .ok_or(NotPublished::QueueFull)?;
    let stored = timeout_at(give_up, publish(app, command))
        .await
        .map_err(|_| NotPublished::Unavailable)??;
    if stored == Stored::Now {
        match timeout_at(give_up, waiting.answer()).await {
            Ok(Answer::Decision(decision)) => return Ok(decision),
            Ok(Answer::NotPublished(reason)) => return Err(reason),
            // The reply may have been lost: the row is what counts.
            Err(_) => {}
        }
    }
    Box::pin(first_decision(app, command, give_up)).await
}

async fn publish(app: &App, command: &Command) -> Result<Stored, NotPublished> {
    let mut envelope = EnvelopeBuilder::new(app.connections.ingress);
    envelope.push(&encode_command(command));
    let subject = app
        .settings
        .nats
        .subjects
        .commands(app.settings.nats.partitions.of(command.slot()));
    let message_id = command.key.map(message_id).unwrap_or_default();
    app.webhooks
        .publish(subject, message_id, envelope.finish(app.keys()).into())
        .await
}

fn message_id(key: IdempotencyKey) -> String {
    format!(
        "webhook-{}-{}",
        hex::encode(key.hash),
        hex::encode(key.fingerprint)
    )
}

/// What the first webhook with this key and body did, as soon as that is committed.
async fn first_decision(
    app: &App,
    command: &Command,
    give_up: Instant,
) -> Result<Decision, NotPublished> {
    loop {
        // Listening begins before the look, so that no move in between is missed.
        let mut moved = std::pin::pin!(app.positions.moved());
        moved.as_mut().enable();
        if let Some(decision) = look(app, command).await {
            return Ok(decision);
        }
        if Instant::now() >= give_up {
            return Err(NotPublished::Unavailable);
        }
        // Whichever comes first; then it is looked once more.
        let _ = timeout(LOOK_EVERY.min(give_up - Instant::now()), moved).await;
    }
}

async fn look(app: &App, command: &Command) -> Option<Decision> {
    let key = command.key?;
    let found = async {
        let Some((first, fingerprint)) =
            store::webhook_key(app.pool(), command.slot(), key.hash).await?
        else {
            return Ok(None);
        };
        if fingerprint != key.fingerprint {
            // Another body was first with this key, so all that come with ours are told so.
            let reused = Decision {
                replayed: false,
                outcome: Outcome::Refused(Refusal::IdempotencyKeyReused),
            };
            return Ok(Some((command.request_id, reused)));
        }
        let partition = app.settings.nats.partitions.of(command.slot());
        Ok(store::request(app.pool(), app.keys(), first, partition)
            .await?
            .0
            .map(|decision| (first, decision)))
    };
    match found.await {
        Ok(found) => found.map(|(first, decision)| Decision {
            replayed: first != command.request_id,
            ..decision
        }),
        Err(error) => {
            let error: sqlx::Error = error;
            tracing::warn!(%error, "a webhook's outcome could not be looked up");
            None
        }
    }
}
