//! One partition, from the moment at which this worker takes it until it gives it back or loses it.
//!
//! Reads the log from the applied position on, and applies one batch at a time. A failure is retried on the same batch
//! with growing pauses, since a later command must never be applied before an earlier one (I6). Only a fence or the end of
//! the process ends the task.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::Context;
use async_nats::jetstream::stream::Stream;
use backon::{BackoffBuilder, ExponentialBuilder};
use holdfast_common::encryption::Keyring;
use holdfast_common::log;
use holdfast_common::settings::NatsSettings;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::announce::Announcer;
use crate::apply::pause::Pause;
use crate::apply::poison::PoisonGuard;
use crate::apply::reader::{ReadError, Reader};
use crate::expiry::requests::ExpiryRequests;
use crate::observe::metrics::{BacklogGauge, METRICS};
use crate::progress::Progress;
use crate::store::fence::{self, PartitionMove};
use crate::store::lease::{self, Lease};

/// A partition without commands for this long moves its position past the envelopes of other partitions.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// The first and the longest pause before a retry.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Runs partitions. One for the process; each partition has a task of its own.
pub struct PartitionRunner {
    pub pool: PgPool,
    pub jetstream: Context,
    pub nats: NatsSettings,
    pub keys: Keyring,
    pub lease: Duration,
    pub guard: PoisonGuard,
    pub expiry: ExpiryRequests,
    pub announcer: Arc<Announcer>,
}

impl PartitionRunner {
    /// Runs a partition until another worker owns it or the process stops. In the latter case it is given back.
    pub async fn run(&self, taken: Lease, stop: CancellationToken) {
        let (partition, epoch) = (taken.partition, taken.epoch);
        METRICS.taken.increment(1);
        tracing::info!(%partition, epoch, applied_seq = taken.applied_seq, "partition taken");
        let mut progress = Progress::from(taken);
        self.announcer.send_news(&progress, Vec::new()).await;
        // The previous owner may have died between a commit and the redelivery of its tickets.
        self.request_expiry(&progress.lease, "taken").await;
        let backlog = BacklogGauge::of(partition);
        let (mut pauses, mut tries) = (retry_pauses(), 0_u32);
        loop {
            let before = progress.lease.applied_seq;
            let Err(pause) = self.read_and_apply(&mut progress, &backlog, &stop).await;
            if progress.lease.applied_seq != before {
                (pauses, tries) = (retry_pauses(), 0);
            }
            tries += 1;
            // A batch that failed may have been committed without its news. The skipped number makes ingresses read the rows.
            self.announcer.heartbeats.skip_number(&progress.lease);
            match pause {
                Pause::Stop => break,
                Pause::Replaced => {
                    tracing::warn!(%partition, epoch, "another worker has the partition; its task here ends");
                    self.announcer.heartbeats.remove(partition, epoch);
                    return;
                }
                Pause::Moved(row) => {
                    progress = Progress::from(row);
                    continue;
                }
                Pause::Postgres(error) => {
                    tracing::warn!(%partition, tries, %error, "Postgres failed; the partition retries after a pause")
                }
                Pause::Batch(error) => {
                    tracing::warn!(%partition, tries, %error, "a batch was not applied; the partition retries after a pause")
                }
                Pause::ReadLog(error) => {
                    tracing::warn!(%partition, tries, %error, "reading the log failed; the partition retries after a pause")
                }
                Pause::OpenLog(error) => {
                    tracing::warn!(%partition, tries, %error, "opening the log failed; the partition retries after a pause")
                }
            }
            let pause = tokio::time::sleep(pauses.next().unwrap_or(RETRY_PAUSE.1));
            if stop.run_until_cancelled(pause).await.is_none() {
                break;
            }
        }
        self.announcer.heartbeats.remove(partition, epoch);
        self.give_back(&progress.lease).await;
    }

    async fn give_back(&self, lease: &Lease) {
        let (partition, applied_seq) = (lease.partition, lease.applied_seq);
        match lease::give_back(&self.pool, lease).await {
            Ok(true) => {
                tracing::info!(%partition, applied_seq, "partition given back");
                self.announcer.send_given_back().await;
            }
            Ok(false) => {
                tracing::info!(%partition, applied_seq, "another worker took the partition before it was given back")
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "giving the partition back failed; it is free when its lease ends")
            }
        }
    }

    async fn read_and_apply(
        &self,
        progress: &mut Progress,
        backlog: &BacklogGauge,
        stop: &CancellationToken,
    ) -> Result<Infallible, Pause> {
        let stream = log::stream::open(&self.jetstream, &self.nats)
            .await
            .map_err(Pause::OpenLog)?;
        self.begin_in(&mut progress.lease, &stream).await?;
        let Lease {
            partition,
            applied_seq,
            ..
        } = progress.lease;
        let subject = self.nats.subjects.commands(partition);
        let mut reader = Reader::open(&stream, subject, applied_seq, self.keys.clone()).await?;
        loop {
            let next = tokio::time::timeout(IDLE_AFTER, reader.next());
            match stop.run_until_cancelled(next).await {
                None => return Err(Pause::Stop),
                Some(Ok(batch)) => {
                    let batch = Arc::new(batch?);
                    backlog.set(batch.envelopes_behind + batch.envelopes);
                    self.guard
                        .apply(progress, &batch)
                        .instrument(batch.span(partition))
                        .await?;
                    backlog.set(batch.envelopes_behind);
                }
                Some(Err(_idle)) => self.pass_others(progress, &stream, &mut reader).await?,
            }
        }
    }

    /// Requests the end of what is due. When that fails, the backstop requests it later.
    async fn request_expiry(&self, lease: &Lease, occasion: &str) {
        let occasion = format!("{occasion}-{}-{}", lease.epoch, lease.applied_seq);
        if let Err(error) = self.expiry.request(lease.partition, &occasion).await {
            tracing::warn!(partition = %lease.partition, %error, "the expiry request was not stored; the backstop repeats it");
        }
    }

    /// Makes sure that the position belongs to this stream. A stream that was created again, or that ends before the
    /// position, has lost its messages. Then the partition begins at the stream's first message; commands that were
    /// applied before are recognized by their ids.
    async fn begin_in(&self, lease: &mut Lease, stream: &Stream) -> Result<(), Pause> {
        let (created, state) = (stream.cached_info().created, &stream.cached_info().state);
        // Postgres keeps microseconds.
        let is_same = lease.stream_created.timestamp_micros() == created.timestamp_micros();
        if is_same && lease.applied_seq <= state.last_sequence {
            return Ok(());
        }
        let begin = Lease {
            stream_created: created,
            applied_seq: 0,
            ..lease.clone()
        };
        if lease.stream_created.timestamp_micros() > 0 {
            tracing::warn!(partition = %lease.partition, %created, "the log's stream was created again; the partition begins at its first message");
        }
        self.move_to(lease, begin).await
    }

    /// Moves an idle partition's position past the envelopes of other partitions, so that positions show how far the log
    /// as a whole is applied.
    async fn pass_others(
        &self,
        progress: &mut Progress,
        stream: &Stream,
        reader: &mut Reader,
    ) -> Result<(), Pause> {
        let lease = &mut progress.lease;
        // The end of the log is read before the reader's state. An envelope of this partition that is published between the
        // two lies after that end, so it is not passed.
        let info = stream
            .get_info()
            .await
            .map_err(|error| ReadError::Nats(error.into()))?;
        let end = info.state.last_sequence;
        if end <= lease.applied_seq || !reader.is_at_end(lease.applied_seq).await? {
            return Ok(());
        }
        let to = PartitionMove::new(lease, end).to;
        self.move_to(lease, to).await?;
        self.announcer.send_news(progress, Vec::new()).await;
        Ok(())
    }

    async fn move_to(&self, lease: &mut Lease, to: Lease) -> Result<(), Pause> {
        let mut connection = self.pool.acquire().await?;
        let row = PartitionMove {
            from: lease.clone(),
            to,
        };
        if fence::advance(&mut connection, &row, self.lease)
            .await?
            .is_none()
        {
            return Err(Pause::after_fence(&self.pool, lease).await);
        }
        *lease = row.to;
        Ok(())
    }
}

fn retry_pauses() -> impl Iterator<Item = Duration> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(RETRY_PAUSE.0)
        .with_max_delay(RETRY_PAUSE.1);
    pauses.with_jitter().without_max_times().build()
}
