//! The JetStream stream of events.

use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType, Stream};
use holdfast_common::log::LogError;
use holdfast_common::log::stream::DUPLICATE_WINDOW;
use holdfast_common::settings::{EventSettings, LogLayout};

/// An event stays on the stream this long: longer than the longest `EVENT_RETRY_SECONDS`.
const AGE_MAX: Duration = Duration::from_secs(8 * 24 * 60 * 60);

#[derive(Clone)]
pub struct EventStream {
    pub jetstream: Context,
    pub config: Config,
}

impl EventStream {
    /// Opens the stream. Creates it when it is missing, and updates the settings that may change.
    ///
    /// # Errors
    /// When JetStream refuses.
    pub async fn open(&self) -> Result<Stream, LogError> {
        let refused = |error: String| LogError::Refused {
            operation: "create the stream of events",
            error,
        };
        let stream = self
            .jetstream
            .get_or_create_stream(self.config.clone())
            .await
            .map_err(|error| refused(error.to_string()))?;
        let found = &stream.cached_info().config;
        let is_same = found.max_bytes == self.config.max_bytes
            && found.max_age == self.config.max_age
            && found.num_replicas == self.config.num_replicas
            && found.allow_atomic_publish == self.config.allow_atomic_publish;
        if !is_same {
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
pub fn config(nats: &LogLayout, settings: &EventSettings) -> Config {
    Config {
        name: nats.subjects.event_stream(),
        description: Some(
            "Holdfast's events as CloudEvents, in order within each partition".to_owned(),
        ),
        subjects: vec![nats.subjects.all_events()],
        retention: RetentionPolicy::Limits,
        // A slow reader loses old events; it does not stop the stream for the others.
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
