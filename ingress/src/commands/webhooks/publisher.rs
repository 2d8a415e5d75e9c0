//! Puts webhooks into the log: each a message of its own, gathered into atomic batches.
//!
//! While JetStream syncs one batch to disk, the webhooks that arrive gather for the next one, of all partitions together:
//! a batch is one sync, however many messages it has (ADR-50). JetStream refuses a whole batch for one duplicate in it,
//! and does not say which. So what this ingress knows to be in the log already is kept out, and what is refused together
//! is sent again one by one.

use std::collections::HashSet;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use futures_util::future::join_all;
use holdfast_common::log::atomic::{self, MESSAGES_MAX, Message};
use holdfast_common::traces::Links;
use moka::sync::Cache;
use tokio::sync::{mpsc, oneshot};

use crate::commands::publisher::NotPublished;
use crate::connections::{ACK_WAIT, Connections};

/// The most webhooks that wait for their place in the log; more are answered 503.
pub const QUEUED_MAX: usize = 4096;
/// How long a message id is known to be in the log; a duplicate that comes later is JetStream's to find.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// The most message ids that are known.
const KNOWN_MAX: u64 = 65_536;
/// The pause before webhooks that were not stored are published again.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

/// A webhook on its way into the log.
struct Queued {
    subject: Subject,
    message_id: String,
    envelope: Bytes,
    links: Links,
    stored: oneshot::Sender<Stored>,
}

/// How a webhook's message came to be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It is there now.
    Now,
    /// It was there before.
    Before,
}

/// Where webhooks wait for the next batch.
#[derive(Debug)]
pub struct WebhookPublisher {
    queue: mpsc::Sender<Queued>,
}

impl WebhookPublisher {
    /// Starts the task that publishes. It ends with this handle.
    #[must_use]
    pub fn start(connections: &Connections) -> Self {
        let (queue, queued) = mpsc::channel(QUEUED_MAX);
        let known = Cache::builder()
            .max_capacity(KNOWN_MAX)
            .time_to_live(KNOWN_FOR)
            .build();
        let task = Task {
            nats: connections.nats.clone(),
            jetstream: connections.jetstream.clone(),
            known,
        };
        tokio::spawn(task.run(queued));
        Self { queue }
    }

    /// Queues a webhook's envelope, and waits until JetStream has it. Giving up the wait takes it out of the queue.
    ///
    /// # Errors
    /// When too many are queued.
    pub async fn publish(
        &self,
        subject: String,
        message_id: String,
        envelope: Bytes,
    ) -> Result<Stored, NotPublished> {
        let (stored, told) = oneshot::channel();
        let mut links = Links::default();
        links.add_current();
        let queued = Queued {
            subject: subject.into(),
            message_id,
            envelope,
            links,
            stored,
        };
        self.queue
            .try_send(queued)
            .map_err(|_| NotPublished::QueueFull)?;
        told.await.map_err(|_| NotPublished::Unavailable)
    }
}

struct Task {
    nats: async_nats::Client,
    jetstream: jetstream::Context,
    /// Ids of messages that were stored just now.
    known: Cache<String, ()>,
}

impl Task {
    async fn run(self, mut queued: mpsc::Receiver<Queued>) {
        let mut gathered = Vec::with_capacity(MESSAGES_MAX);
        while queued.recv_many(&mut gathered, MESSAGES_MAX).await > 0 {
            self.store(&mut gathered).await;
        }
    }

    /// Publishes until everything is stored, or nobody waits for it any more.
    async fn store(&self, gathered: &mut Vec<Queued>) {
        loop {
            let repeated = self.take_apart(gathered);
            if gathered.len() > 1 && self.store_together(gathered).await.is_ok() {
                gathered
                    .drain(..)
                    .for_each(|webhook| self.tell(webhook, Stored::Now));
            } else {
                self.store_singly(gathered).await;
            }
            // Those whose first one is in the log by now are told so in the next turn.
            gathered.extend(repeated);
            if gathered.is_empty() {
                return;
            }
            if !gathered
                .iter()
                .any(|webhook| self.known.contains_key(&webhook.message_id))
            {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }

    /// Tells those whose message is known to be in the log, drops those that nobody waits for, and takes out those whose
    /// id another has.
    fn take_apart(&self, gathered: &mut Vec<Queued>) -> Vec<Queued> {
        let mut seen = HashSet::new();
        let mut repeated = Vec::new();
        for webhook in std::mem::take(gathered) {
            if webhook.stored.is_closed() {
                continue;
            } else if self.known.contains_key(&webhook.message_id) {
                // Not known for longer by that: should the log have been lost meanwhile, it is published again.
                let _ = webhook.stored.send(Stored::Before);
            } else if seen.insert(webhook.message_id.clone()) {
                gathered.push(webhook);
            } else {
                repeated.push(webhook);
            }
        }
        repeated
    }

    fn tell(&self, webhook: Queued, stored: Stored) {
        self.known.insert(webhook.message_id, ());
        // Whoever waited may have given up.
        let _ = webhook.stored.send(stored);
    }

    /// One atomic batch: all of it is stored, or nothing.
    async fn store_together(&self, webhooks: &[Queued]) -> Result<(), async_nats::Error> {
        let message = |webhook: &Queued| Message {
            subject: webhook.subject.clone(),
            id: webhook.message_id.clone(),
            headers: webhook.links.headers(),
            payload: webhook.envelope.clone(),
        };
        let stored =
            atomic::publish(&self.nats, webhooks.iter().map(message).collect(), ACK_WAIT).await;
        if let Err(error) = &stored {
            tracing::debug!(%error, webhooks = webhooks.len(), "a batch of webhooks was refused; each is sent alone");
        }
        stored.map(drop)
    }

    /// Each by itself, all at once. Those that were not stored stay.
    async fn store_singly(&self, gathered: &mut Vec<Queued>) {
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
                Ok(ack) => self.tell(
                    webhook,
                    if ack.duplicate {
                        Stored::Before
                    } else {
                        Stored::Now
                    },
                ),
                Err(error) => {
                    tracing::warn!(%error, "publishing a webhook failed, will try again");
                    gathered.push(webhook);
                }
            }
        }
    }
}
