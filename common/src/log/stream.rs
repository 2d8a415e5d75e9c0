//! The stream that is the log, and the check that it is as asked.
//!
//! An older server, or another program, can drop or change a setting without an error, and each of those compared here
//! carries a promise: without direct gets nobody can look back, without `discard: new` the log would forget, without
//! the deduplication window a repeated publish would be a second command, without atomic batches each webhook would be a
//! sync of its own.

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

/// How long JetStream remembers the id of an envelope: a publisher gives up long before. Nothing younger is purged.
pub const DUPLICATE_WINDOW: Duration = Duration::from_secs(120);

const PARTITIONS_KEY: &str = "holdfast-partitions";

/// Finds the log's stream, or makes it, and checks it.
///
/// # Errors
/// When JetStream refuses, when the stream was made for another number of partitions, or has other settings than asked.
pub async fn open(context: &Context, settings: &NatsSettings) -> Result<Stream, LogError> {
    let asked = config(settings);
    let mut stream = match context.get_stream(&asked.name).await {
        Ok(stream) => stream,
        Err(_) => context
            .get_or_create_stream(asked.clone())
            .await
            .map_err(refused("create the log's stream"))?,
    };
    check_partitions(&stream.cached_info().config, settings.partitions)?;
    if is_to_update(&stream.cached_info().config, &asked) {
        context
            .update_stream(&asked)
            .await
            .map_err(refused("change the log's stream"))?;
        stream = context
            .get_stream(&asked.name)
            .await
            .map_err(refused("read the log's stream"))?;
    }
    match differences(&stream.cached_info().config, &asked)
        .into_iter()
        .next()
    {
        Some(difference) => Err(difference),
        None => Ok(stream),
    }
}

/// What of a stream that was found is not as these settings ask; nothing is changed.
#[must_use]
pub fn check(found: &Config, settings: &NatsSettings) -> Vec<LogError> {
    let others = differences(found, &config(settings));
    check_partitions(found, settings.partitions)
        .err()
        .into_iter()
        .chain(others)
        .collect()
}

/// When the stream was made: sequences of different streams can't be compared.
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
        // A full log refuses new commands; it never forgets accepted ones.
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

fn check_partitions(found: &Config, asked: Partitions) -> Result<(), LogError> {
    match found.metadata.get(PARTITIONS_KEY) {
        Some(recorded) if *recorded == asked.count().to_string() => Ok(()),
        recorded => Err(LogError::OtherPartitions {
            recorded: recorded
                .cloned()
                .unwrap_or_else(|| "an unknown number of".to_owned()),
            asked: asked.count(),
        }),
    }
}

/// What an operator may change by restarting with another setting, and what an earlier version did not ask for.
fn is_to_update(found: &Config, asked: &Config) -> bool {
    found.max_bytes != asked.max_bytes
        || found.num_replicas != asked.num_replicas
        || found.allow_atomic_publish != asked.allow_atomic_publish
}

fn differences(found: &Config, asked: &Config) -> Vec<LogError> {
    let is_async = |config: &Config| matches!(config.persist_mode, Some(PersistenceMode::Async));
    let settings = [
        (
            "subjects",
            format!("{:?}", found.subjects),
            format!("{:?}", asked.subjects),
        ),
        (
            "retention",
            format!("{:?}", found.retention),
            format!("{:?}", asked.retention),
        ),
        (
            "discard",
            format!("{:?}", found.discard),
            format!("{:?}", asked.discard),
        ),
        (
            "max_bytes",
            found.max_bytes.to_string(),
            asked.max_bytes.to_string(),
        ),
        (
            "storage",
            format!("{:?}", found.storage),
            format!("{:?}", asked.storage),
        ),
        (
            "num_replicas",
            found.num_replicas.to_string(),
            asked.num_replicas.to_string(),
        ),
        (
            "duplicate_window",
            format!("{:?}", found.duplicate_window),
            format!("{:?}", asked.duplicate_window),
        ),
        (
            "allow_direct",
            found.allow_direct.to_string(),
            asked.allow_direct.to_string(),
        ),
        (
            "allow_atomic",
            found.allow_atomic_publish.to_string(),
            asked.allow_atomic_publish.to_string(),
        ),
        (
            "max_age",
            format!("{:?}", found.max_age),
            format!("{:?}", asked.max_age),
        ),
        // It would override `sync_interval: always`.
        (
            "persist_mode async",
            is_async(found).to_string(),
            is_async(asked).to_string(),
        ),
    ];
    let other = |(setting, found, asked_value)| {
        let stream = asked.name.clone();
        LogError::OtherSetting {
            stream,
            setting,
            found,
            asked: asked_value,
        }
    };
    settings
        .into_iter()
        .filter(|(_, found, asked)| found != asked)
        .map(other)
        .collect()
}

fn refused<E: std::fmt::Display>(what: &'static str) -> impl FnOnce(E) -> LogError {
    move |error| LogError::Refused {
        what,
        why: error.to_string(),
    }
}
