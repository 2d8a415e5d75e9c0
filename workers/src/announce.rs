//! Tells ingresses what was committed, over core NATS.
//!
//! Everything said here is a hint that may be lost: an ingress that hears nothing reads the rows. So a failure to say
//! it is logged and nothing more. Never called before the commit.

pub mod heartbeat;

use std::collections::BTreeMap;

use async_nats::Subject;
use holdfast_common::domain::{Changes, Product};
use holdfast_common::messages::news::{self, Heartbeat, Message, News};
use holdfast_common::messages::reply::{self, IngressId, Reply};
use holdfast_common::outcome::ProductAsOf;
use holdfast_common::partition::Partition;
use holdfast_common::time::Timestamp;

use crate::Worker;
use crate::apply::next_due::Horizon;
use crate::store::lease::Lease;

/// The most products in one message of news: with the longest names well below NATS's limit of 1 MiB.
const NEWS_PRODUCTS_MAX: usize = 512;

/// A partition as it stands after a commit.
#[derive(Clone, Copy, Debug)]
pub struct Told<'l> {
    /// Where it stands.
    pub lease: &'l Lease,
    /// When something of it falls due next.
    pub horizon: Horizon,
}

/// Tells what was committed. The news goes first: who is told that units are back, and asks again, must not be refused
/// by what was known before.
pub async fn committed(
    worker: &Worker,
    partitions: &[Told<'_>],
    replies: &[(IngressId, Reply)],
    changes: Changes,
    as_of: Timestamp,
) {
    let of = |product: &Product| worker.settings.nats.partitions.of(product.id.slot());
    let mut products: BTreeMap<Partition, Vec<ProductAsOf>> = BTreeMap::new();
    for product in changes
        .new_products
        .into_iter()
        .chain(changes.changed_products)
    {
        products
            .entry(of(&product))
            .or_default()
            .push(ProductAsOf { product, as_of });
    }
    for Told { lease, horizon } in partitions {
        worker.committed.tell(lease.partition);
        news(
            worker,
            lease,
            *horizon,
            products.remove(&lease.partition).unwrap_or_default(),
        )
        .await;
    }
    self::replies(worker, replies).await;
}

/// Sends each ingress the outcomes it waits for, one message a batch (more only where they would be too long).
async fn replies(worker: &Worker, replies: &[(IngressId, Reply)]) {
    let mut by_ingress: BTreeMap<IngressId, Vec<&Reply>> = BTreeMap::new();
    for (ingress, reply) in replies {
        by_ingress.entry(*ingress).or_default().push(reply);
    }
    for (ingress, replies) in by_ingress {
        let subject = Subject::from(worker.settings.nats.subjects.replies(ingress));
        for message in reply::encode(replies) {
            publish(worker, subject.clone(), message).await;
        }
    }
}

/// Sends every ingress the news of a partition, in as many messages as its products need.
pub async fn news(
    worker: &Worker,
    lease: &Lease,
    horizon: Horizon,
    mut products: Vec<ProductAsOf>,
) {
    let subject = Subject::from(worker.settings.nats.subjects.news());
    loop {
        let others = products.split_off(products.len().min(NEWS_PRODUCTS_MAX));
        let pulse = worker.pulses.next(lease, horizon);
        let (stream_created, applied_seq) = (lease.stream_created.into(), lease.applied_seq);
        let news = Message::News(News {
            pulse,
            stream_created,
            applied_seq,
            products,
        });
        publish(worker, subject.clone(), news::encode(&news)).await;
        worker.pulses.sent(pulse);
        if others.is_empty() {
            return;
        }
        products = others;
    }
}

/// Sends every ingress a sign of life.
pub async fn heartbeat(worker: &Worker, heartbeat: Heartbeat) {
    let subject = Subject::from(worker.settings.nats.subjects.news());
    publish(
        worker,
        subject,
        news::encode(&Message::Heartbeat(heartbeat)),
    )
    .await;
}

/// Tells the other workers that a partition is to be had.
pub async fn given_back(worker: &Worker) {
    let subject = Subject::from(worker.settings.nats.subjects.given_back());
    if let Err(error) = worker.nats.publish(subject, Vec::new().into()).await {
        tracing::warn!(%error, "the other workers were not told of a partition; they will look");
    }
}

async fn publish(worker: &Worker, subject: Subject, message: Vec<u8>) {
    if let Err(error) = worker.nats.publish(subject, message.into()).await {
        tracing::warn!(%error, "ingresses were not told what is new; they will read the rows");
    }
}
