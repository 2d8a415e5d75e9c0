//! The log's stream, and the check of its settings.
//!
//! An older server or another program can drop or change a setting without an error. Each setting that is compared here is
//! needed. Direct gets read old entries. `discard: new` keeps accepted commands. The duplicate window prevents that a
//! repeated publish becomes a second command. Atomic batches store many webhooks with one sync.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::{
    Config, DiscardPolicy, PersistenceMode, RetentionPolicy, StorageType, Stream,
};

use crate::log::LogError;
use crate::partition::Partitions;
use crate::settings::NatsSettings;
use crate::time::Timestamp;

/// The time for which JetStream remembers the id of an envelope. A publisher gives up long before. Younger entries are not
/// purged.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

const PARTITIONS_KEY: &str = "holdfast-partitions";

/// Finds or creates the log's stream, and checks it.
///
/// # Errors
/// When JetStream refuses, or the stream has another number of partitions or other settings than required.
pub async fn open(context: &Context, settings: &NatsSettings) -> Result<Stream, LogError> {
    let required = config(settings);
    let mut stream = match context.get_stream(&required.name).await {
        Ok(stream) => stream,
        Err(_) => context
            .get_or_create_stream(required.clone())
            .await
            .map_err(refused("create the log's stream"))?,
    };
    check_partitions(&stream.cached_info().config, settings.partitions)?;
    if is_to_update(&stream.cached_info().config, &required) {
        context
            .update_stream(&required)
            .await
            .map_err(refused("change the log's stream"))?;
        stream = context
            .get_stream(&required.name)
            .await
            .map_err(refused("read the log's stream"))?;
    }
    match differences(&stream.cached_info().config, &required)
        .into_iter()
        .next()
    {
        Some(difference) => Err(difference),
        None => Ok(stream),
    }
}

/// The differences between a stream and these settings. Changes nothing.
#[must_use]
pub fn check(found: &Config, settings: &NatsSettings) -> Vec<LogError> {
    let others = differences(found, &config(settings));
    check_partitions(found, settings.partitions)
        .err()
        .into_iter()
        .chain(others)
        .collect()
}

/// The time when the stream was created. Sequences of different streams can't be compared.
#[must_use]
pub fn created(stream: &Stream) -> Timestamp {
    stream.cached_info().created.into()
}

fn config(settings: &NatsSettings) -> Config {
    Config {
        name: settings.subjects.log_stream(),
        description: Some("Holdfast's commands, in the order in which they take effect".to_owned()),
        subjects: vec![settings.subjects.all_commands()],
        retention: RetentionPolicy::Limits,
        // A full log refuses new commands, and keeps the accepted ones.
        discard: DiscardPolicy::New,
        max_bytes: i64::from(settings.log_max_mb) * 1024 * 1024,
        storage: StorageType::File,
        num_replicas: usize::from(settings.stream_replicas),
        duplicate_window: DUPLICATE_WINDOW,
        allow_direct: true,
        allow_atomic_publish: true,
        metadata: HashMap::from([(
            PARTITIONS_KEY.to_owned(),
            settings.partitions.count().to_string(),
        )]),
        ..Config::default()
    }
}

fn check_partitions(found: &Config, required: Partitions) -> Result<(), LogError> {
    match found.metadata.get(PARTITIONS_KEY) {
        Some(recorded) if *recorded == required.count().to_string() => Ok(()),
        recorded => Err(LogError::OtherPartitions {
            recorded: recorded
                .cloned()
                .unwrap_or_else(|| "an unknown number of".to_owned()),
            required: required.count(),
        }),
    }
}

/// Whether the stream must be updated: the operator changed a setting that may change, or an earlier version created it.
fn is_to_update(found: &Config, required: &Config) -> bool {
    found.max_bytes != required.max_bytes
        || found.num_replicas != required.num_replicas
        || found.allow_atomic_publish != required.allow_atomic_publish
}

fn differences(found: &Config, required: &Config) -> Vec<LogError> {
    let is_async = |config: &Config| matches!(config.persist_mode, Some(PersistenceMode::Async));
    let settings = [
        (
            "subjects",
            format!("{:?}", found.subjects),
            format!("{:?}", required.subjects),
        ),
        (
            "retention",
            format!("{:?}", found.retention),
            format!("{:?}", required.retention),
        ),
        (
            "discard",
            format!("{:?}", found.discard),
            format!("{:?}", required.discard),
        ),
        (
            "max_bytes",
            found.max_bytes.to_string(),
            required.max_bytes.to_string(),
        ),
        (
            "storage",
            format!("{:?}", found.storage),
            format!("{:?}", required.storage),
        ),
        (
            "num_replicas",
            found.num_replicas.to_string(),
            required.num_replicas.to_string(),
        ),
        (
            "duplicate_window",
            format!("{:?}", found.duplicate_window),
            format!("{:?}", required.duplicate_window),
        ),
        (
            "allow_direct",
            found.allow_direct.to_string(),
            required.allow_direct.to_string(),
        ),
        (
            "allow_atomic",
            found.allow_atomic_publish.to_string(),
            required.allow_atomic_publish.to_string(),
        ),
        (
            "max_age",
            format!("{:?}", found.max_age),
            format!("{:?}", required.max_age),
        ),
        // This mode would override `sync_interval: always`.
        (
            "persist_mode async",
            is_async(found).to_string(),
            is_async(required).to_string(),
        ),
    ];
    let other = |(setting, found, required_value)| {
        let stream = required.name.clone();
        LogError::OtherSetting {
            stream,
            setting,
            found,
            required: required_value,
        }
    };
    settings
        .into_iter()
        .filter(|(_, found, required)| found != required)
        .map(other)
        .collect()
}

fn refused<E: std::fmt::Display>(operation: &'static str) -> impl FnOnce(E) -> LogError {
    move |error| LogError::Refused {
        operation,
        error: error.to_string(),
    }
}
