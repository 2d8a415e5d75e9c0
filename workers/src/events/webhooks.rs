//! Posts events to the receivers of `EVENT_URLS`, as Standard Webhooks has it.
//!
//! Each receiver has a durable consumer on the stream, which all workers share. An event that is not taken comes back
//! after a growing pause; one that was not taken for `EVENT_RETRY_SECONDS` is a dead letter, for an operator to have
//! posted once more. Several are on their way at once and those that failed come later, so a receiver can't rely on
//! their order: the stream's is the product's. One may be posted twice, under the same id.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, PullConsumer, pull};
use async_nats::jetstream::message::Message;
use futures_util::{StreamExt, TryStreamExt, stream};
use holdfast_common::settings::Secret;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::events::cloud_event::CONTENT_TYPE;
use crate::post::Poster;
use crate::store::clock;
use crate::store::event_dead_letters::{self, GivenUp};

/// How long a worker may take over an event before another gets it: longer than a receiver may.
const ACK_WAIT: Duration = Duration::from_secs(30);
/// How many events of a receiver may have failed or be on their way before no new ones are posted to it.
const PENDING_MAX: i64 = 1000;
/// How many a worker posts to a receiver at once.
const AT_ONCE: usize = 16;
/// The first pause after an event was not taken, and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(600));
const HEARTBEAT: Duration = Duration::from_secs(1);
const REQUEST_EXPIRY: Duration = Duration::from_secs(20);
/// How often dead letters are looked for that an operator wants posted once more.
const ASKED_EVERY: Duration = Duration::from_secs(1);

/// Whom events are posted to.
struct Receiver {
    url: Secret,
    /// Names it without telling the URL.
    name: String,
    host: String,
    poster: Poster,
}

/// Makes a consumer for each receiver, from now on, and posts until the process stops.
///
/// # Errors
/// When a URL is none, or JetStream refuses.
pub async fn start(
    worker: &Arc<Worker>,
    stop: &CancellationToken,
    beside: &mut JoinSet<()>,
) -> anyhow::Result<()> {
    for (number, url) in worker.settings.worker.events.urls().into_iter().enumerate() {
        let parsed = reqwest::Url::parse(url.expose())
            .ok()
            .filter(|url| matches!(url.scheme(), "http" | "https"));
        let host = parsed.as_ref().and_then(|url| url.host_str());
        let host = host.with_context(|| {
            format!("EVENT_URLS: number {} is no http or https URL", number + 1)
        })?;
        let (host, name) = (host.to_owned(), receiver_name(&url));
        let poster = Poster::new(&worker.settings.worker.events.secrets());
        let receiver = Arc::new(Receiver {
            url,
            name,
            host,
            poster,
        });
        consumer(worker, &receiver).await?;
        beside.spawn(deliver(
            Arc::clone(worker),
            Arc::clone(&receiver),
            stop.clone(),
        ));
        beside.spawn(retry_asked(Arc::clone(worker), receiver, stop.clone()));
    }
    Ok(())
}

/// Names a receiver without telling its URL.
#[must_use]
pub fn receiver_name(url: &Secret) -> String {
    hex::encode(&Sha256::digest(url.expose())[..8])
}

/// The name of a receiver's consumer.
#[must_use]
pub fn consumer_name(receiver: &str) -> String {
    format!("webhook-{receiver}")
}

/// A receiver's consumer as it is asked for.
#[must_use]
pub fn consumer_config(receiver: &str) -> pull::Config {
    pull::Config {
        durable_name: Some(consumer_name(receiver)),
        // A new receiver is told what happens from now on.
        deliver_policy: DeliverPolicy::New,
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        max_ack_pending: PENDING_MAX,
        ..pull::Config::default()
    }
}

async fn consumer(worker: &Worker, receiver: &Receiver) -> anyhow::Result<PullConsumer> {
    let description = Some(format!("Events posted to {}", receiver.host));
    let config = pull::Config {
        description,
        ..consumer_config(&receiver.name)
    };
    let stream = super::open_stream(worker).await?;
    Ok(stream
        .get_or_create_consumer(&consumer_name(&receiver.name), config)
        .await?)
}

async fn deliver(worker: Arc<Worker>, receiver: Arc<Receiver>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Some(Err(error)) = stop
            .run_until_cancelled(deliver_all(&worker, &receiver))
            .await
        {
            tracing::warn!(receiver = receiver.host, %error, "events could not be delivered, will try again");
            stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE.0))
                .await;
        }
    }
}

async fn deliver_all(worker: &Worker, receiver: &Receiver) -> anyhow::Result<()> {
    let consumer = consumer(worker, receiver).await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(AT_ONCE)
        .heartbeat(HEARTBEAT);
    let messages = messages.expires(REQUEST_EXPIRY).messages().await?;
    let messages = messages.map_err(anyhow::Error::from);
    messages
        .try_for_each_concurrent(AT_ONCE, |message| handle(worker, receiver, message))
        .await
}

/// What of an event is needed here.
#[derive(Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    product_id: Option<i64>,
}

async fn handle(worker: &Worker, receiver: &Receiver, message: Message) -> anyhow::Result<()> {
    let failed = |error: async_nats::Error| anyhow::anyhow!(error);
    let Ok(event) = serde_json::from_slice::<Event>(&message.payload) else {
        tracing::error!("a message on the stream of events is no event; it was dropped");
        return message.ack_with(AckKind::Term).await.map_err(failed);
    };
    let now = clock::now(&worker.pool).await?.0 / 1_000_000;
    let posted = receiver
        .poster
        .post(
            &receiver.url,
            &event.id,
            now,
            CONTENT_TYPE,
            message.payload.to_vec(),
        )
        .await;
    let Err(error) = posted else {
        return message.ack().await.map_err(failed);
    };
    let (tries, published) = {
        let info = message.info().map_err(failed)?;
        (info.delivered, info.published.timestamp())
    };
    tracing::debug!(receiver = receiver.host, event = event.id, tries, %error, "an event was not taken");
    if now - published < i64::from(worker.settings.worker.events.event_retry_seconds) {
        return message
            .ack_with(AckKind::Nak(Some(pause(tries))))
            .await
            .map_err(failed);
    }
    let (error, body) = (error.to_string(), String::from_utf8_lossy(&message.payload));
    let letter = GivenUp {
        product_id: event.data.product_id.unwrap_or(0),
        event_id: &event.id,
        receiver: &receiver.name,
        host: &receiver.host,
        kind: &event.kind,
        body: &body,
        error: &error,
        tries,
    };
    event_dead_letters::bury(&worker.pool, letter).await?;
    tracing::error!(
        receiver = receiver.host,
        event = event.id,
        tries,
        error,
        "an event was not taken and is a dead letter: see `holdfast events`"
    );
    message.ack().await.map_err(failed)
}

/// The pause after so many tries: twice as long each time.
fn pause(tries: i64) -> Duration {
    let doublings = u32::try_from(tries.saturating_sub(1)).unwrap_or(0).min(16);
    (RETRY_PAUSE.0 * 2_u32.pow(doublings)).min(RETRY_PAUSE.1)
}

async fn retry_asked(worker: Arc<Worker>, receiver: Arc<Receiver>, stop: CancellationToken) {
    let mut turn = tokio::time::interval(ASKED_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        if let Some(Err(error)) = stop
            .run_until_cancelled(post_asked(&worker, &receiver))
            .await
        {
            tracing::warn!(%error, "dead events could not be posted once more, will try again");
        }
    }
}

/// Posts dead letters once more, each once.
async fn post_asked(worker: &Worker, receiver: &Receiver) -> sqlx::Result<()> {
    let asked = event_dead_letters::take_asked(&worker.pool, &receiver.name).await?;
    let now = clock::now(&worker.pool).await?.0 / 1_000_000;
    let posting = asked.into_iter().map(|letter| async move {
        let body = letter.body.clone().into_bytes();
        match receiver
            .poster
            .post(&receiver.url, &letter.event_id, now, CONTENT_TYPE, body)
            .await
        {
            Ok(()) => event_dead_letters::taken(&worker.pool, &receiver.name, &letter).await,
            Err(error) => {
                event_dead_letters::failed_again(
                    &worker.pool,
                    &receiver.name,
                    &letter,
                    &error.to_string(),
                )
                .await
            }
        }
    });
    stream::iter(posting)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_ten_minutes() {
        let seconds = [1, 2, 3, 10, 11, 12, 1000].map(|tries| pause(tries).as_secs_f64());
        assert_eq!(seconds, [0.5, 1.0, 2.0, 256.0, 512.0, 600.0, 600.0]);
    }
}
