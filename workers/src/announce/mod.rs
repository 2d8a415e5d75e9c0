//! Sends ingresses the news, replies and heartbeats of committed batches, over core NATS.
//!
//! Every message here is a hint that may be lost: an ingress that does not get it reads the rows. So a failed send is
//! logged and not repeated. Nothing here is called before the commit (I5). [`heartbeat`] keeps the numbers that let an
//! ingress detect a lost message. Next: `products/listener` and `commands/waiters` of the ingress.

pub mod commit_signals;
pub mod heartbeat;

use std::collections::BTreeMap;
use std::time::Duration;

use async_nats::{Client, Subject, Subscriber};
use holdfast_common::domain::{Changes, Product};
use holdfast_common::messages::news::{self, News, NewsMessage};
use holdfast_common::messages::reply::{self, IngressId, Reply};
use holdfast_common::outcome::ProductAsOf;
use holdfast_common::partition::Partition;
use holdfast_common::settings::LogLayout;
use holdfast_common::time::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::announce::commit_signals::CommitSignals;
use crate::announce::heartbeat::{HEARTBEAT_EVERY, Heartbeats};
use crate::progress::Progress;

/// Products in one message of news. With the longest names the message stays well below NATS's limit of 1 MiB.
const NEWS_PRODUCTS_MAX: usize = 512;

/// Sends the results of this worker's commits.
pub struct Announcer {
    nats: Client,
    layout: LogLayout,
    lease: Duration,
    pub heartbeats: Heartbeats,
    pub commits: CommitSignals,
}

impl Announcer {
    #[must_use]
    pub fn new(nats: Client, layout: LogLayout, lease: Duration) -> Self {
        Self {
            nats,
            lease,
            heartbeats: Heartbeats::default(),
            commits: CommitSignals::new(layout.partitions),
            layout,
        }
    }

    /// Sends the news and the replies of a committed transaction, given the progress of its partitions.
    ///
    /// The news goes first. A client that reads in its reply that units are available again, and holds them at once, must
    /// not be refused because its ingress still has the old stock.
    pub async fn send_committed(
        &self,
        partitions: &[Progress],
        replies: &[(IngressId, Reply)],
        changes: Changes,
        as_of: Timestamp,
    ) {
        let partition_of = |product: &Product| self.layout.partitions.of(product.id.slot());
        let mut products: BTreeMap<Partition, Vec<ProductAsOf>> = BTreeMap::new();
        for product in changes
            .new_products
            .into_iter()
            .chain(changes.changed_products)
        {
            products
                .entry(partition_of(&product))
                .or_default()
                .push(ProductAsOf { product, as_of });
        }
        for progress in partitions {
            let partition = progress.lease.partition;
            self.commits.notify(partition);
            self.send_news(progress, products.remove(&partition).unwrap_or_default())
                .await;
        }
        self.send_replies(replies).await;
    }

    /// Sends each ingress the outcomes that it waits for. All of them are in one message, unless they are too long for it.
    async fn send_replies(&self, replies: &[(IngressId, Reply)]) {
        let mut by_ingress: BTreeMap<IngressId, Vec<&Reply>> = BTreeMap::new();
        for (ingress, reply) in replies {
            by_ingress.entry(*ingress).or_default().push(reply);
        }
        for (ingress, replies) in by_ingress {
            let subject = Subject::from(self.layout.subjects.replies(ingress));
            for message in reply::encode(replies) {
                self.publish(subject.clone(), message).await;
            }
        }
    }

    /// Sends every ingress the news of a partition, in as many messages as its products need.
    pub async fn send_news(&self, progress: &Progress, mut products: Vec<ProductAsOf>) {
        let (lease, subject) = (&progress.lease, Subject::from(self.layout.subjects.news()));
        loop {
            let rest = products.split_off(products.len().min(NEWS_PRODUCTS_MAX));
            let pulse = self.heartbeats.next_pulse(lease, progress.next_due);
            let news = NewsMessage::News(News {
                pulse,
                stream_created: lease.stream_created.into(),
                applied_seq: lease.applied_seq,
                products,
            });
            self.publish(subject.clone(), news::encode(&news)).await;
            // Only now: a heartbeat must not count news that is not sent yet.
            self.heartbeats.record_sent(pulse);
            if rest.is_empty() {
                return;
            }
            products = rest;
        }
    }

    /// Sends heartbeats until the process stops.
    pub async fn run_heartbeats(&self, stop: CancellationToken) {
        let mut turn = tokio::time::interval(HEARTBEAT_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turn.tick()).await.is_some() {
            if let Some(heartbeat) = self.heartbeats.current(self.lease) {
                let message = news::encode(&NewsMessage::Heartbeat(heartbeat));
                self.publish(self.layout.subjects.news().into(), message)
                    .await;
            }
        }
    }

    /// Sends the other workers the hint that a partition has no owner now.
    pub async fn send_given_back(&self) {
        let subject = self.layout.subjects.given_back();
        if let Err(error) = self.nats.publish(subject, Vec::new().into()).await {
            tracing::warn!(%error, "sending the hint that a partition is free failed; other workers find it at their next turn");
        }
    }

    /// # Errors
    /// When NATS refuses the subscription.
    pub async fn subscribe_given_back(&self) -> Result<Subscriber, async_nats::SubscribeError> {
        self.nats.subscribe(self.layout.subjects.given_back()).await
    }

    async fn publish(&self, subject: Subject, message: Vec<u8>) {
        if let Err(error) = self.nats.publish(subject, message.into()).await {
            tracing::warn!(%error, "sending news or replies to ingresses failed; they read the rows instead");
        }
    }
}
