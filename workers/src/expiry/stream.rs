//! The JetStream stream of expiry tickets.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use holdfast_common::log::LogError;
use holdfast_common::settings::{HoldSettings, LogLayout, WorkerSettings};

/// The most tickets in the stream: those of one day in 64 partitions.
pub const TICKETS_MAX: i64 = 64 * 86_400;
/// JetStream remembers the id of a ticket this much longer than anything can be held or unpaid.
const WINDOW_SLACK: Duration = Duration::from_secs(60);

#[derive(Clone)]
pub struct TicketStream {
    pub jetstream: Context,
    pub config: Config,
}

impl TicketStream {
    /// Opens the stream. Creates it when it is missing, and updates the settings that may change.
    ///
    /// # Errors
    /// When JetStream refuses.
    pub async fn open(&self) -> Result<Stream, LogError> {
        let refused = |error: String| LogError::Refused {
            operation: "create the expiry stream",
            error,
        };
        let stream = self
            .jetstream
            .get_or_create_stream(self.config.clone())
            .await
            .map_err(|error| refused(error.to_string()))?;
        let found = &stream.cached_info().config;
        if found.duplicate_window != self.config.duplicate_window
            || found.num_replicas != self.config.num_replicas
        {
            self.jetstream
                .update_stream(&self.config)
                .await
                .map_err(|error| refused(error.to_string()))?;
        }
        Ok(stream)
    }
}

/// The settings of the stream.
#[must_use]
pub fn config(nats: &LogLayout, holds: &HoldSettings, worker: &WorkerSettings) -> Config {
    // A hold and an order that fall due in the same second share a ticket. They may have been created this far apart, and
    // the second one must not store a second ticket.
    let longest = holds.hold_expiry_seconds.max(worker.order_payment_seconds);
    Config {
        name: nats.subjects.expiry_stream(),
        description: Some(
            "One ticket for each partition and second in which something falls due".to_owned(),
        ),
        subjects: vec![nats.subjects.all_tickets()],
        retention: RetentionPolicy::WorkQueue,
        discard: DiscardPolicy::New,
        max_messages: TICKETS_MAX,
        storage: StorageType::File,
        num_replicas: usize::from(nats.stream_replicas),
        duplicate_window: Duration::from_secs(longest.into()) + WINDOW_SLACK,
        ..Config::default()
    }
}
