//! Posts events to the receivers of `EVENT_URLS`, as Standard Webhooks defines it.
//!
//! Each receiver has a durable consumer on the stream, which all workers share. An event that was not accepted is posted
//! again after a growing pause. After `EVENT_RETRY_SECONDS` it becomes a dead letter, which an operator can retry.
//! Several posts are in progress at once, and failed ones are repeated later. So a receiver can't rely on the order of
//! arrival; only the stream is in order. A receiver may get an event twice, with the same id.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::message::Message;
use futures_util::{StreamExt, TryStreamExt, stream};
use holdfast_common::settings::{EventSettings, Secret};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::events::cloud_event::CONTENT_TYPE;
use crate::events::stream::EventStream;
use crate::post::{self, OutgoingMessage, Poster, retry_pause};
use crate::store;
use crate::store::event_dead_letters::{self, EventDeadLetter};

/// Another worker gets an event that was not acknowledged for this long: longer than a receiver may take.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// With this many events failed or in progress, a receiver gets no new ones.
const PENDING_MAX: i64 = 1000;
/// Posts that a worker has in progress for a receiver.
const POSTS_MAX: usize = 16;
/// The pause after NATS or Postgres failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
const HEARTBEAT: Duration = Duration::from_secs(1);
const REQUEST_EXPIRY: Duration = Duration::from_secs(20);
/// Dead letters that an operator wants to be posted again are searched this often.
const RETRIES_EVERY: Duration = Duration::from_secs(1);

/// Posts the events of the stream to one receiver.
struct WebhookReceiver {
    pool: PgPool,
    stream: EventStream,
    poster: Poster,
    /// A hash of the URL, since the URL may carry a secret.
    name: String,
    /// The URL's host, for logs and lists.
    host: String,
    /// `EVENT_RETRY_SECONDS`.
    retry_seconds: i64,
}

/// Creates a consumer for each receiver, and posts until the process stops.
///
/// # Errors
/// When a URL is not valid, or JetStream refuses.
pub async fn start(
    settings: &EventSettings,
    stream: &EventStream,
    pool: &PgPool,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    for (number, url) in settings.urls().into_iter().enumerate() {
        let host = post::host(&url).with_context(|| {
            format!(
                "EVENT_URLS: number {} is not an http or https URL",
                number + 1
            )
        })?;
        let receiver = Arc::new(WebhookReceiver {
            pool: pool.clone(),
            stream: stream.clone(),
            name: receiver_name(&url),
            host,
            poster: Poster::new(url, &settings.secrets()),
            retry_seconds: settings.event_retry_seconds.into(),
        });
        receiver.consumer().await?;
        tasks.spawn(Arc::clone(&receiver).deliver(stop.clone()));
        tasks.spawn(receiver.retry_dead_letters(stop.clone()));
    }
    Ok(())
}

/// Names a receiver without revealing its URL.
#[must_use]
pub fn receiver_name(url: &Secret) -> String {
    hex::encode(&Sha256::digest(url.expose())[..8])
}

#[must_use]
pub fn consumer_name(receiver: &str) -> String {
    format!("webhook-{receiver}")
}

/// The settings of a receiver's consumer.
#[must_use]
pub fn consumer_config(receiver: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer_name(receiver)),
        // A new receiver gets the events from now on.
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: PENDING_MAX,
        ..pull::Config::default()
    }
}

/// The fields of an event that are needed here.
#[derive(Deserialize)]
struct StreamEvent {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: StreamEventData,
}

#[derive(Deserialize)]
struct StreamEventData {
    product_id: Option<i64>,
}

impl WebhookReceiver {
    async fn consumer(&self) -> anyhow::Result<PullConsumer> {
        let config = pull::Config {
            description: Some(format!("Events posted to {}", self.host)),
            ..consumer_config(&self.name)
        };
        let stream = self.stream.open().await?;
        Ok(stream
            .get_or_create_consumer(&consumer_name(&self.name), config)
            .await?)
    }

    async fn deliver(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.deliver_all()).await {
                tracing::warn!(receiver = self.host, %error, "events could not be delivered; they are received again after a pause");
                stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE))
                    .await;
            }
        }
    }

    async fn deliver_all(&self) -> anyhow::Result<()> {
        let consumer = self.consumer().await?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(POSTS_MAX)
            .heartbeat(HEARTBEAT);
        let messages = messages.expires(REQUEST_EXPIRY).messages().await?;
        let messages = messages.map_err(anyhow::Error::from);
        messages
            .try_for_each_concurrent(POSTS_MAX, |message| self.handle(message))
            .await
    }

    async fn handle(&self, message: Message) -> anyhow::Result<()> {
        let failed = |error: async_nats::Error| anyhow::anyhow!(error);
        let Ok(event) = serde_json::from_slice::<StreamEvent>(&message.payload) else {
            tracing::error!("a message on the stream of events is not an event; it is dropped");
            return message.ack_with(AckKind::Term).await.map_err(failed);
        };
        let now = store::now_seconds(&self.pool).await?;
        let Err(error) = self.post(&event.id, now, message.payload.to_vec()).await else {
            return message.ack().await.map_err(failed);
        };
        let (tries, published) = {
            let info = message.info().map_err(failed)?;
            (info.delivered, info.published.timestamp())
        };
        tracing::debug!(receiver = self.host, event = event.id, tries, %error, "an event was not accepted");
        if now - published < self.retry_seconds {
            let pause = retry_pause(u32::try_from(tries).unwrap_or(u32::MAX));
            let later = AckKind::Nak(Some(pause));
            return message.ack_with(later).await.map_err(failed);
        }
        let (error, body) = (error.to_string(), String::from_utf8_lossy(&message.payload));
        let letter = EventDeadLetter {
            product_id: event.data.product_id.unwrap_or(0),
            event_id: &event.id,
            receiver: &self.name,
            host: &self.host,
            kind: &event.kind,
            body: &body,
            error: &error,
            tries,
        };
        event_dead_letters::insert(&self.pool, letter).await?;
        tracing::error!(
            receiver = self.host,
            event = event.id,
            tries,
            error,
            "an event was not accepted in time and is now a dead letter; see `holdfast events list`"
        );
        message.ack().await.map_err(failed)
    }

    async fn post(&self, id: &str, timestamp: i64, body: Vec<u8>) -> reqwest::Result<()> {
        let message = OutgoingMessage {
            id,
            timestamp,
            content_type: CONTENT_TYPE,
            body,
        };
        self.poster.post(message).await
    }

    async fn retry_dead_letters(self: Arc<Self>, stop: CancellationToken) {
        let mut turn = tokio::time::interval(RETRIES_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turn.tick()).await.is_some() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.post_retries()).await {
                tracing::warn!(receiver = self.host, %error, "event dead letters could not be read or recorded; they are searched again in a second");
            }
        }
    }

    /// Posts the dead letters that an operator wants to be retried, each once.
    async fn post_retries(&self) -> sqlx::Result<()> {
        let retries = event_dead_letters::take_retries(&self.pool, &self.name).await?;
        let now = store::now_seconds(&self.pool).await?;
        let posts = retries.into_iter().map(|letter| async move {
            let body = letter.body.clone().into_bytes();
            let (pool, receiver) = (&self.pool, &self.name);
            match self.post(&letter.event_id, now, body).await {
                Ok(()) => event_dead_letters::accepted(pool, receiver, &letter).await,
                Err(error) => {
                    let error = error.to_string();
                    event_dead_letters::failed_again(pool, receiver, &letter, &error).await
                }
            }
        });
        stream::iter(posts)
            .buffer_unordered(POSTS_MAX)
            .try_collect()
            .await
    }
}
