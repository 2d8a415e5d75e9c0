//! Operators' requests for event dead letters: post them once more, or drop them. One worker serves each request.
//!
//! A retry only marks the rows; [`crate::events::webhooks`] posts them.

use async_nats::{Client, Subscriber};
use futures_util::StreamExt;
use holdfast_common::messages::event_dead_letters::{EventDeadLetterReply, EventDeadLetterRequest};
use holdfast_common::messages::subjects::Subjects;
use holdfast_common::messages::wire::Message as _;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::store::event_dead_letters;

/// The queue group in which the workers share the requests.
const QUEUE_GROUP: &str = "workers";

pub struct EventRetryRequests {
    nats: Client,
    pool: PgPool,
    requests: Subscriber,
}

impl EventRetryRequests {
    /// # Errors
    /// When NATS refuses the subscription.
    pub async fn subscribe(
        nats: Client,
        subjects: &Subjects,
        pool: PgPool,
    ) -> Result<Self, async_nats::SubscribeError> {
        let requests = nats
            .queue_subscribe(subjects.event_dead_letters(), QUEUE_GROUP.to_owned())
            .await?;
        Ok(Self {
            nats,
            pool,
            requests,
        })
    }

    /// Serves requests until the process stops, one at a time.
    pub async fn run(mut self, stop: CancellationToken) {
        while let Some(Some(message)) = stop.run_until_cancelled(self.requests.next()).await {
            let request = match EventDeadLetterRequest::decode(&message.payload) {
                Ok(request) => request,
                Err(error) => {
                    tracing::warn!(%error, "a request for event dead letters can't be read; it is ignored");
                    continue;
                }
            };
            let done = EventDeadLetterReply {
                events: self.handle(&request).await,
            };
            let Some(reply) = message.reply else { continue };
            if let Err(error) = self.nats.publish(reply, done.encode().into()).await {
                tracing::warn!(%error, "the response to an operator's request for event dead letters was not sent");
            }
        }
    }

    /// The number of events that the request concerned; `None` when Postgres failed.
    async fn handle(&self, request: &EventDeadLetterRequest) -> Option<u64> {
        // The id is not logged: it is unchecked text of the request.
        let (operation, event_id) = match request {
            EventDeadLetterRequest::Retry(event_id) => ("retry", event_id),
            EventDeadLetterRequest::Drop(event_id) => ("drop", event_id),
        };
        tracing::info!(
            operation,
            all = event_id.is_none(),
            "an operator's request for event dead letters is carried out"
        );
        let done = match request {
            EventDeadLetterRequest::Retry(id) => {
                event_dead_letters::request_retry(&self.pool, id.as_deref()).await
            }
            EventDeadLetterRequest::Drop(id) => {
                event_dead_letters::remove(&self.pool, id.as_deref()).await
            }
        };
        done.inspect_err(|error| {
            tracing::warn!(%error, operation, "an operator's request for event dead letters failed; nothing was changed");
        })
        .ok()
    }
}
