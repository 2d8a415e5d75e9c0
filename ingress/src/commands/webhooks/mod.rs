//! Payment webhooks on their way into the log, and the wait for their outcomes.
//!
//! Each webhook is a message of its own (see [`batches`]). Its message id is made of its idempotency key and its body, so
//! JetStream drops a duplicate within two minutes; the idempotency table covers later ones. No worker sends a reply for
//! a dropped duplicate. So the duplicate's request waits until the first webhook is applied, and reads its outcome.

pub mod batches;

use std::sync::Arc;
use std::time::Duration;

use holdfast_common::command::{Command, IdempotencyKey};
use holdfast_common::domain::Decision;
use holdfast_common::encryption::Keyring;
use holdfast_common::messages::envelope::{EnvelopeBuilder, encode_command};
use holdfast_common::messages::reply::IngressId;
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::settings::LogLayout;
use sqlx::PgPool;
use tokio::time::{Instant, timeout, timeout_at};

use self::batches::{Stored, WebhookPublisher};
use crate::commands::load_shedding::Priority;
use crate::commands::not_published::NotPublished;
use crate::commands::positions::AppliedPositions;
use crate::commands::waiters::{CommandResult, Waiters};
use crate::store;

/// How often a duplicate's request reads the first webhook's outcome when no partition reports progress.
const READ_INTERVAL: Duration = Duration::from_millis(250);

/// Submits webhooks and waits until their effect is committed.
pub struct WebhookSubmitter {
    pub ingress: IngressId,
    pub pool: PgPool,
    pub keys: Keyring,
    pub layout: LogLayout,
    /// `REQUEST_WAIT_MS`.
    pub request_wait: Duration,
    pub waiters: Arc<Waiters>,
    pub positions: Arc<AppliedPositions>,
    pub publisher: WebhookPublisher,
}

impl WebhookSubmitter {
    /// Publishes a webhook's command and waits until its effect, or the first one's, is committed.
    ///
    /// # Errors
    /// When that does not happen in time. The provider then gets 503 and sends the webhook again.
    pub async fn submit(&self, command: &Command) -> CommandResult {
        tracing::debug!(
            request_id = %command.request_id, action = command.action.name(),
            hold_id = command.action.named_hold().map(tracing::field::display), "command submitted"
        );
        let give_up = Instant::now() + self.request_wait;
        let mut waiter = self
            .waiters
            .wait(command.request_id, Priority::of(&command.action))
            .ok_or(NotPublished::QueueFull)?;
        let stored = timeout_at(give_up, self.publish(command))
            .await
            .map_err(|_| NotPublished::Unavailable)??;
        if stored == Stored::Now
            && let Ok(result) = timeout_at(give_up, waiter.result()).await
        {
            return result;
        }
        // A duplicate gets no reply, and the reply to a new webhook may be lost. The row counts in both cases.
        Box::pin(self.first_decision(command, give_up)).await
    }

    async fn publish(&self, command: &Command) -> Result<Stored, NotPublished> {
        let mut envelope = EnvelopeBuilder::new(self.ingress);
        envelope.push(&encode_command(command));
        let partition = self.layout.partitions.of(command.slot());
        let subject = self.layout.subjects.commands(partition);
        let message_id = command.key.map(message_id).unwrap_or_default();
        self.publisher
            .publish(subject, message_id, envelope.finish(&self.keys).into())
            .await
    }

    /// The decision for the first webhook with this key and body, as soon as it is committed.
    async fn first_decision(&self, command: &Command, give_up: Instant) -> CommandResult {
        loop {
            // The wait for progress is registered before the read, so that progress in between ends it.
            let mut progress = std::pin::pin!(self.positions.progress());
            progress.as_mut().enable();
            if let Some(decision) = self.read_first_decision(command).await {
                return Ok(decision);
            }
            if Instant::now() >= give_up {
                return Err(NotPublished::Unavailable);
            }
            // A timeout is no error here: the loop reads again.
            let _ = timeout(READ_INTERVAL.min(give_up - Instant::now()), progress).await;
        }
    }

    async fn read_first_decision(&self, command: &Command) -> Option<Decision> {
        let key = command.key?;
        let read = async {
            let Some((first, fingerprint)) =
                store::webhook_key(&self.pool, command.slot(), key.hash).await?
            else {
                return Ok(None);
            };
            if fingerprint != key.fingerprint {
                // Another body was first with this key, so this body is refused.
                let reused = Decision {
                    replayed: false,
                    outcome: Outcome::Refused(Refusal::IdempotencyKeyReused),
                };
                return Ok(Some((command.request_id, reused)));
            }
            let partition = self.layout.partitions.of(command.slot());
            Ok(store::request(&self.pool, &self.keys, first, partition)
                .await?
                .0
                .map(|decision| (first, decision)))
        };
        match read.await {
            Ok(found) => found.map(|(first, decision)| Decision {
                replayed: first != command.request_id,
                ..decision
            }),
            Err(error) => {
                let error: sqlx::Error = error;
                tracing::warn!(
                    %error, request_id = %command.request_id,
                    "reading a webhook's outcome failed; it is read again until the request's timeout"
                );
                None
            }
        }
    }
}

fn message_id(key: IdempotencyKey) -> String {
    format!(
        "webhook-{}-{}",
        hex::encode(key.hash),
        hex::encode(key.fingerprint)
    )
}
