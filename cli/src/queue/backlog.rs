//! The backlog of a partition: the number of log entries after the applied position. An entry is an envelope of 1 to 512
//! commands.
//!
//! Sequences count the entries of all partitions, so their difference is not a backlog. JetStream counts instead: it reports
//! the pending messages of a consumer that is created for one count and then deleted. Workers' consumers are not affected.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::Client;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull};
use async_nats::jetstream::stream::{DirectGetErrorKind, Stream};
use holdfast_common::log;
use holdfast_common::partition::Partition;
use holdfast_common::settings::{LogLayout, NatsSettings};

use crate::store::queue::PartitionLease;

/// JetStream deletes the consumer after this time, in case this program could not.
const CONSUMER_IDLE: Duration = Duration::from_secs(10);

/// The log's stream, for counting.
pub(crate) struct LogCounter {
    stream: Stream,
    layout: LogLayout,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Backlog {
    /// Entries that are not applied yet.
    pub(super) entries: u64,
    /// The age of the oldest of these entries: Postgres's clock minus NATS's timestamp.
    pub(super) oldest_seconds: Option<f64>,
}

impl LogCounter {
    /// Connects to NATS and opens the log's stream. It does not create the stream.
    pub(crate) async fn connect(settings: &NatsSettings) -> anyhow::Result<Self> {
        Self::open(log::connect(settings, "holdfast", |_| ()).await?, settings).await
    }

    /// Like [`Self::connect`], on an open connection.
    pub(crate) async fn open(nats: Client, settings: &NatsSettings) -> anyhow::Result<Self> {
        let jetstream = async_nats::jetstream::new(nats);
        let stream = jetstream.get_stream(settings.subjects.log_stream()).await;
        let stream = stream.context(
            "the log does not exist yet: start an ingress or a worker, which creates it",
        )?;
        Ok(Self {
            stream,
            layout: settings.layout.clone(),
        })
    }

    pub(super) async fn backlog(&self, lease: &PartitionLease) -> anyhow::Result<Backlog> {
        let first = self.applied_seq(lease) + 1;
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
            Err(error) => {
                return Err(error).context("reading the oldest entry of the backlog failed");
            }
        };
        let age = (lease.now - oldest).as_seconds_f64().max(0.0);
        Ok(Backlog {
            entries: self.count(lease, first).await?,
            oldest_seconds: Some(age),
        })
    }

    /// The sum of the backlogs of these partitions, in entries.
    pub(crate) async fn total_backlog(&self, leases: &[PartitionLease]) -> anyhow::Result<u64> {
        let mut entries = 0;
        for lease in leases {
            entries += self.backlog(lease).await?.entries;
        }
        Ok(entries)
    }

    /// The number of entries of a partition that were applied between two reads of its position.
    pub(super) async fn applied_between(
        &self,
        earlier: &PartitionLease,
        later: &PartitionLease,
    ) -> anyhow::Result<u64> {
        let (from, to) = (self.applied_seq(earlier), self.applied_seq(later));
        if to <= from {
            return Ok(0);
        }
        // Entries published between the two counts are in the second only: at worst, the result is too low.
        let all = self.count(later, from + 1).await?;
        Ok(all.saturating_sub(self.count(later, to + 1).await?))
    }

    /// The applied sequence in this stream: 0 when the position is from an earlier stream.
    fn applied_seq(&self, lease: &PartitionLease) -> u64 {
        let is_this_stream = log::stream::created(&self.stream) == lease.stream_created.into();
        if is_this_stream {
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
            .context("JetStream could not count the backlog")?;
        let (pending, name) = (
            consumer.cached_info().num_pending,
            consumer.cached_info().name.clone(),
        );
        if let Err(error) = self.stream.delete_consumer(&name).await {
            tracing::debug!(%error, "the counting consumer was not deleted; JetStream deletes it when it is idle");
        }
        Ok(pending)
    }
}

fn partition(lease: &PartitionLease) -> Partition {
    Partition(lease.partition.cast_unsigned())
}
