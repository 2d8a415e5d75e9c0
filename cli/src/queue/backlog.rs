//! How many entries of the log lie ahead of a partition's worker. An entry is an envelope of 1 to 512 commands.
//!
//! The log's sequences run through all partitions, so nothing follows from their distance: JetStream counts, for a
//! consumer that is made for the question and removed again. Nothing is read, and nobody who reads is disturbed.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use holdfast_common::log;
use holdfast_common::partition::Partition;
use holdfast_common::settings::{LogLayout, NatsSettings};

use crate::store::queue::PartitionLease;

/// JetStream removes a consumer that we could not.
const CONSUMER_IDLE: Duration = Duration::from_secs(10);

/// The log.
pub(crate) struct Log {
    stream: Stream,
    layout: LogLayout,
}

/// What waits in a partition.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    /// Entries that are not applied.
    pub(super) entries: u64,
    /// How long the first of them has been waiting, by NATS's clock and Postgres's.
    pub(super) oldest_seconds: Option<f64>,
}

impl Log {
    /// Connects to NATS and finds the log, which is not made here.
    pub(crate) async fn open(settings: &NatsSettings) -> anyhow::Result<Self> {
        Self::find(log::connect(settings, "holdfast", |_| ()).await?, settings).await
    }

    /// The same, on a connection.
    pub(crate) async fn find(nats: Client, settings: &NatsSettings) -> anyhow::Result<Self> {
        let jetstream = async_nats::jetstream::new(nats);
        let stream = jetstream.get_stream(settings.subjects.log_stream()).await;
        let stream =
            stream.context("there is no log yet: an ingress or a worker makes it at its start")?;
        Ok(Self {
            stream,
            layout: settings.layout.clone(),
        })
    }

    /// What lies behind the position of a partition.
    pub(super) async fn ahead(&self, lease: &PartitionLease) -> anyhow::Result<Backlog> {
        let first = self.applied(lease) + 1;
        let subject = self.layout.subjects.commands(partition(lease));
        let oldest = match self
            .stream
            .direct_get_next_for_subject(&*subject, Some(first))
            .await
        {
            Ok(message) => message.time,
            Err(error) if error.kind() == DirectGetErrorKind::NotFound => {
                return Ok(Backlog::default());
            }
            Err(error) => return Err(error).context("the log's oldest entry"),
        };
        let age = (lease.now - oldest).as_seconds_f64().max(0.0);
        Ok(Backlog {
            entries: self.count(lease, first).await?,
            oldest_seconds: Some(age),
        })
    }

    /// How many entries wait in all of these partitions together.
    pub(crate) async fn ahead_of_all(&self, leases: &[PartitionLease]) -> anyhow::Result<u64> {
        let mut entries = 0;
        for lease in leases {
            entries += self.ahead(lease).await?.entries;
        }
        Ok(entries)
    }

    /// How many entries of a partition were applied between two looks. New ones that come while they are counted are not
    /// among them.
    pub(super) async fn between(
        &self,
        earlier: &PartitionLease,
        later: &PartitionLease,
    ) -> anyhow::Result<u64> {
        let (from, to) = (self.applied(earlier), self.applied(later));
        if to <= from {
            return Ok(0);
        }
        let all = self.count(later, from + 1).await?;
        Ok(all.saturating_sub(self.count(later, to + 1).await?))
    }

    /// The position of a partition in this log. One that was taken from another log counts nothing here.
    fn applied(&self, lease: &PartitionLease) -> u64 {
        let is_of_this = log::stream::created(&self.stream) == lease.stream_created.into();
        if is_of_this {
            lease.applied_seq.cast_unsigned()
        } else {
            0
        }
    }

    async fn count(&self, lease: &PartitionLease, first: u64) -> anyhow::Result<u64> {
        let config = pull::Config {
            ack_policy: AckPolicy::None,
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: first,
            },
            filter_subject: self.layout.subjects.commands(partition(lease)),
            inactive_threshold: CONSUMER_IDLE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = self
            .stream
            .create_consumer(config)
            .await
            .context("JetStream did not count what waits")?;
        let (pending, name) = (
            consumer.cached_info().num_pending,
            consumer.cached_info().name.clone(),
        );
        if let Err(error) = self.stream.delete_consumer(&name).await {
            tracing::debug!(%error, "a consumer that counted is left for JetStream to remove");
        }
        Ok(pending)
    }
}

fn partition(lease: &PartitionLease) -> Partition {
    Partition(lease.partition.cast_unsigned())
}
