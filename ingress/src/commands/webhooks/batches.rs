//! Stores webhooks in the log: one message for each, gathered into atomic batches.
//!
//! While JetStream syncs one batch to disk, arriving webhooks of all partitions gather for the next batch. JetStream syncs
//! a batch once, whatever number of messages it has (ADR-50 of NATS). It refuses the whole batch when one message is a
//! duplicate, and does not report which one. So the publisher leaves out the ids that it has stored in the last seconds,
//! and sends the messages of a refused batch again one by one.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_common::log::atomic::{self, BatchMessage, MESSAGES_MAX};
use holdfast_common::traces::TraceLinks;
use moka::sync::Cache;
use tokio::sync::{mpsc, oneshot};

use crate::commands::not_published::NotPublished;
use crate::connections::{ACK_WAIT, Connections};

/// The most webhooks that wait to be published. The next ones get 503.
pub const QUEUED_MAX: usize = 4096;
/// How long the publisher remembers a stored message id. JetStream finds the duplicates that come later.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);
const REMEMBERED_IDS_MAX: u64 = 65_536;
/// The pause before webhooks that were not stored are published again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A webhook that is not in the log yet.
struct QueuedWebhook {
    subject: Subject,
    message_id: String,
    envelope: Bytes,
    links: TraceLinks,
    stored: oneshot::Sender<Stored>,
}

/// How a webhook's message got into the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// This call stored it.
    Now,
    /// It is a duplicate of a message in the log.
    Before,
}

/// The queue of webhooks for the next batch.
#[derive(Debug)]
pub struct WebhookPublisher {
    queue: mpsc::Sender<QueuedWebhook>,
}

impl WebhookPublisher {
    /// Starts the task that publishes. The task ends when this value is dropped.
    #[must_use]
    pub fn start(connections: &Connections) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let stored_ids = Cache::builder()
            .max_capacity(REMEMBERED_IDS_MAX)
            .time_to_live(REMEMBERED_FOR)
            .build();
        let task = BatchTask {
            nats: connections.nats.clone(),
            jetstream: connections.jetstream.clone(),
            stored_ids,
        };
        tokio::spawn(task.run(queued));
        Self { queue }
    }

    /// Queues a webhook's envelope, and waits until JetStream has stored it. Dropping the future cancels the webhook if
    /// it has not been sent.
    ///
    /// # Errors
    /// When the queue is full.
    pub async fn publish(
        &self,
        subject: String,
        message_id: String,
        envelope: Bytes,
    ) -> Result<Stored, NotPublished> {
        let (stored, result) = oneshot::channel();
        let mut links = TraceLinks::default();
        links.add_current();
        let queued = QueuedWebhook {
            subject: subject.into(),
            message_id,
            envelope,
            links,
            stored,
        };
        self.queue
            .try_send(queued)
            .map_err(|_| NotPublished::QueueFull)?;
        result.await.map_err(|_| NotPublished::Unavailable)
    }
}

struct BatchTask {
    nats: async_nats::Client,
    jetstream: jetstream::Context,
    /// The ids of messages that were stored in the last seconds.
    stored_ids: Cache<String, ()>,
}

impl BatchTask {
    async fn run(self, mut queued: mpsc::Receiver<QueuedWebhook>) {
        let mut gathered = Vec::with_capacity(MESSAGES_MAX);
        while queued.recv_many(&mut gathered, MESSAGES_MAX).await > 0 {
            self.store(&mut gathered).await;
        }
    }

    /// Publishes until each webhook is stored or its request has ended.
    async fn store(&self, gathered: &mut Vec<QueuedWebhook>) {
        loop {
            let repeated = self.remove_duplicates(gathered);
            if gathered.len() > 1 && self.store_together(gathered).await.is_ok() {
                gathered
                    .drain(..)
                    .for_each(|webhook| self.complete(webhook, Stored::Now));
            } else {
                self.store_singly(gathered).await;
            }
            // When the first webhook with the same id is stored by now, the next round completes these.
            gathered.extend(repeated);
            if gathered.is_empty() {
                return;
            }
            if !gathered
                .iter()
                .any(|webhook| self.stored_ids.contains_key(&webhook.message_id))
            {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Completes webhooks whose id was stored in the last seconds, drops those whose request has ended, and returns those
    /// that repeat an id within `gathered`: an atomic batch must not have an id twice.
    fn remove_duplicates(&self, gathered: &mut Vec<QueuedWebhook>) -> Vec<QueuedWebhook> {
        let mut seen = HashSet::new();
        let mut repeated = Vec::new();
        for webhook in std::mem::take(gathered) {
            if webhook.stored.is_closed() {
                continue;
            } else if self.stored_ids.contains_key(&webhook.message_id) {
                // The id's time to live is not extended: if the log was lost meanwhile, the webhook is published again.
                let _ = webhook.stored.send(Stored::Before);
            } else if seen.insert(webhook.message_id.clone()) {
                gathered.push(webhook);
            } else {
                repeated.push(webhook);
            }
        }
        repeated
    }

    fn complete(&self, webhook: QueuedWebhook, stored: Stored) {
        self.stored_ids.insert(webhook.message_id, ());
        // The request may have ended.
        let _ = webhook.stored.send(stored);
    }

    /// Publishes one atomic batch: JetStream stores all of it or nothing.
    async fn store_together(&self, webhooks: &[QueuedWebhook]) -> Result<(), async_nats::Error> {
        let message = |webhook: &QueuedWebhook| BatchMessage {
            subject: webhook.subject.clone(),
            id: webhook.message_id.clone(),
            headers: webhook.links.headers(),
            payload: webhook.envelope.clone(),
        };
        let stored =
            atomic::publish(&self.nats, webhooks.iter().map(message).collect(), ACK_WAIT).await;
        if let Err(error) = &stored {
            tracing::debug!(%error, webhooks = webhooks.len(), "JetStream refused a batch of webhooks; sending each alone");
        }
        stored.map(drop)
    }

    /// Publishes each webhook alone, all at the same time. Those that were not stored stay in `gathered`.
    async fn store_singly(&self, gathered: &mut Vec<QueuedWebhook>) {
        let publishing = gathered.drain(..).map(|webhook| async {
            let message = PublishMessage::build()
                .payload(webhook.envelope.clone())
                .headers(webhook.links.headers());
            let message = message.message_id(&webhook.message_id);
            let published = async {
                self.jetstream
                    .send_publish(webhook.subject.clone(), message)
                    .await?
                    .await
            };
            (published.await, webhook)
        });
        for (published, webhook) in join_all(publishing).await {
            match published {
                Ok(ack) => self.complete(
                    webhook,
                    if ack.duplicate {
                        Stored::Before
                    } else {
                        Stored::Now
                    },
                ),
                Err(error) => {
                    tracing::warn!(%error, "publishing a webhook failed; trying again after a pause");
                    gathered.push(webhook);
                }
            }
        }
    }
}
