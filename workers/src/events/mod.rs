//! Outgoing events: what shops and their systems are told of changes, on a stream and by signed webhooks.
//!
//! The audit is the outbox: its rows are written in the batch's transaction, and [`publisher`] makes events of them
//! (`cloud_event`) afterwards, a partition at a time and in order. [`webhooks`] posts what is on the stream. Nothing
//! of it can hold up a batch. Off unless somebody wants it.

pub mod asked;
mod cloud_event;
pub mod publisher;
pub mod webhooks;

use std::time::Duration;

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use holdfast_common::log::LogError;
use holdfast_common::log::stream::DUPLICATE_WINDOW;
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::settings::{EventSettings, LogLayout};
use tokio::sync::Notify;

use crate::Worker;
use crate::store::events;

/// How long an event stays on the stream: longer than anybody posts it again and again (`EVENT_RETRY_SECONDS`).
const AGE_MAX: Duration = Duration::from_secs(8 * 24 * 60 * 60);

/// What batches tell the publishers: that there may be something new.
pub struct Committed {
    partitions: Vec<Notify>,
}

impl Committed {
    /// Nothing yet.
    #[must_use]
    pub fn new(partitions: Partitions) -> Self {
        Self {
            partitions: partitions.all().map(|_| Notify::new()).collect(),
        }
    }

    /// A batch of the partition was committed. Costs nothing where nobody listens.
    pub fn tell(&self, partition: Partition) {
        if let Some(partition) = self.partitions.get(usize::from(partition.0)) {
            partition.notify_one();
        }
    }

    async fn heard(&self, partition: Partition) {
        match self.partitions.get(usize::from(partition.0)) {
            Some(partition) => partition.notified().await,
            None => std::future::pending().await,
        }
    }
}

/// Makes ready what events need, before the first batch that may make one.
///
/// # Errors
/// When Postgres fails, or JetStream refuses.
pub async fn open(worker: &Worker) -> anyhow::Result<()> {
    events::begin(&worker.pool, worker.settings.nats.partitions).await?;
    open_stream(worker).await?;
    Ok(())
}

/// Finds the stream of events, or makes it.
async fn open_stream(worker: &Worker) -> Result<Stream, LogError> {
    let refused = |error: String| LogError::Refused {
        what: "create the stream of events",
        why: error,
    };
    let asked = stream_config(&worker.settings.nats, &worker.settings.worker.events);
    let stream = worker.jetstream.get_or_create_stream(asked.clone()).await;
    let stream = stream.map_err(|error| refused(error.to_string()))?;
    let found = &stream.cached_info().config;
    let is_same = found.max_bytes == asked.max_bytes
        && found.max_age == asked.max_age
        && found.num_replicas == asked.num_replicas
        && found.allow_atomic_publish == asked.allow_atomic_publish;
    if !is_same {
        worker
            .jetstream
            .update_stream(&asked)
            .await
            .map_err(|error| refused(error.to_string()))?;
    }
    Ok(stream)
}

/// The stream of events as it is asked for.
#[must_use]
pub fn stream_config(nats: &LogLayout, settings: &EventSettings) -> Config {
    Config {
        name: nats.subjects.event_stream(),
        description: Some(
            "What happened in Holdfast, as CloudEvents; in order within each partition".to_owned(),
        ),
        subjects: vec![nats.subjects.all_events()],
        retention: RetentionPolicy::Limits,
        // Nobody who does not read holds up those who do.
        discard: DiscardPolicy::Old,
        max_bytes: i64::from(settings.events_max_mb) * 1024 * 1024,
        max_age: AGE_MAX,
        storage: StorageType::File,
        num_replicas: usize::from(nats.stream_replicas),
        duplicate_window: DUPLICATE_WINDOW,
        allow_atomic_publish: true,
        ..Config::default()
    }
}
