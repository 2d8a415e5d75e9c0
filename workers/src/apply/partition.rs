//! One partition, from the moment it is ours until it is not.
//!
//! Reads the log from the applied position on and applies batch after batch, one at a time. Whatever fails is tried
//! again with growing pauses, on the same batch, since order must hold; only a fence or the end of the process ends it.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::stream::Stream;
use backon::{BackoffBuilder, ExponentialBuilder};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use crate::Worker;
use crate::announce;
use crate::apply::batch::BatchError;
use crate::apply::next_due::Horizon;
use crate::apply::poison;
use crate::apply::reader::{ReadError, Reader};
use crate::expiry;
use crate::observe::metrics::{Backlog, METRICS};
use crate::store::lease::{self, Lease, Move};

/// How long a partition without commands waits before it moves past those of the others.
const IDLE_AFTER: Duration = Duration::from_secs(2);
/// The first pause before something that failed is tried again, and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// Why a partition is left alone for now.
pub(crate) enum Pause {
    /// The process stops.
    Stop,
    /// Another worker has the partition.
    Replaced,
    /// Postgres failed.
    Postgres(sqlx::Error),
    /// A batch was not applied.
    Batch(Arc<BatchError>),
    /// The log could not be read.
    Log(ReadError),
    /// The log could not be opened.
    Open(holdfast_common::log::LogError),
    /// Our own commit had gone through though it seemed to fail: go on from where the row says.
    Moved(Lease),
}

impl From<sqlx::Error> for Pause {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Arc<BatchError>> for Pause {
    fn from(error: Arc<BatchError>) -> Self {
        Self::Batch(error)
    }
}

impl From<ReadError> for Pause {
    fn from(error: ReadError) -> Self {
        Self::Log(error)
    }
}

/// Runs a partition until another worker has it or the process stops; in the latter case it is given back.
pub async fn run(worker: &Worker, mut lease: Lease, stop: CancellationToken) {
    let partition = lease.partition;
    METRICS.taken.increment(1);
    tracing::info!(%partition, epoch = lease.epoch, applied_seq = lease.applied_seq, "partition taken");
    announce::news(worker, &lease, Horizon::Unknown, Vec::new()).await;
    // The worker before may have died with tickets in its hands.
    ask_to_expire(worker, &lease, "taken").await;
    let backlog = Backlog::of(partition);
    let (mut pauses, mut horizon, mut tries, mut retries) =
        (retry_pauses(), Horizon::Unknown, 0_u32, 0);
    loop {
        let before = lease.applied_seq;
        let pause = match read_and_apply(
            worker,
            &mut lease,
            &mut horizon,
            &mut retries,
            &backlog,
            &stop,
        )
        .await
        {
            Ok(never) => match never {},
            Err(pause) => pause,
        };
        if lease.applied_seq != before {
            (pauses, tries) = (retry_pauses(), 0);
        }
        tries += 1;
        // What failed may have been committed all the same, and its news was not sent.
        worker.pulses.doubt(&lease);
        match pause {
            Pause::Stop => break,
            Pause::Replaced => {
                tracing::warn!(%partition, epoch = lease.epoch, "another worker has the partition, let go of it");
                worker.pulses.end(partition, lease.epoch);
                return;
            }
            Pause::Moved(row) => {
                (lease, horizon, retries) = (row, Horizon::Unknown, 0);
                continue;
            }
            Pause::Postgres(error) => {
                tracing::warn!(%partition, tries, %error, "Postgres failed, will try again")
            }
            Pause::Batch(error) => {
                tracing::warn!(%partition, tries, %error, "a batch was not applied, will try again")
            }
            Pause::Log(error) => {
                tracing::warn!(%partition, tries, %error, "reading the log failed, will try again")
            }
            Pause::Open(error) => {
                tracing::warn!(%partition, tries, %error, "opening the log failed, will try again")
            }
        }
        let pause = pauses.next().unwrap_or(RETRY_PAUSE.1);
        if stop
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_none()
        {
            break;
        }
    }
    worker.pulses.end(partition, lease.epoch);
    match lease::give_back(&worker.pool, &lease).await {
        Ok(()) => {
            tracing::info!(%partition, applied_seq = lease.applied_seq, "partition given back");
            announce::given_back(worker).await;
        }
        Err(error) => {
            tracing::warn!(%partition, %error, "partition not given back, its lease will run out")
        }
    }
}

fn retry_pauses() -> impl Iterator<Item = Duration> {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(RETRY_PAUSE.0)
        .with_max_delay(RETRY_PAUSE.1);
    pauses.with_jitter().without_max_times().build()
}

async fn read_and_apply(
    worker: &Worker,
    lease: &mut Lease,
    horizon: &mut Horizon,
    retries: &mut u32,
    backlog: &Backlog,
    stop: &CancellationToken,
) -> Result<std::convert::Infallible, Pause> {
    let stream = holdfast_common::log::stream::open(&worker.jetstream, &worker.settings.nats)
        .await
        .map_err(Pause::Open)?;
    begin_in(worker, lease, &stream).await?;
    let subject = worker.settings.nats.subjects.commands(lease.partition);
    let mut reader = Reader::open(&stream, subject, lease.applied_seq, worker.keys.clone()).await?;
    loop {
        let next = tokio::time::timeout(IDLE_AFTER, reader.next());
        match stop.run_until_cancelled(next).await {
            None => return Err(Pause::Stop),
            Some(Ok(batch)) => {
                let batch = Arc::new(batch?);
                backlog.set(batch.envelopes_behind + batch.envelopes);
                let span = batch.span(lease.partition);
                poison::apply(worker, lease, horizon, retries, &batch)
                    .instrument(span)
                    .await?;
                backlog.set(batch.envelopes_behind);
            }
            Some(Err(_idle)) => pass_others(worker, lease, *horizon, &stream, &mut reader).await?,
        }
    }
}

/// Asks for what is due to be ended. When that fails, the backstop asks again.
async fn ask_to_expire(worker: &Worker, lease: &Lease, occasion: &str) {
    let reason = format!("{occasion}-{}-{}", lease.epoch, lease.applied_seq);
    if let Err(error) = expiry::ask(worker, lease.partition, &reason).await {
        tracing::warn!(partition = %lease.partition, %error, "expiry could not be asked for");
    }
}

/// Why a batch found the row other than it knew it: another worker has the partition, or our own commit went through.
pub(crate) async fn why_fenced(worker: &Worker, lease: &Lease) -> sqlx::Result<Pause> {
    Ok(lease::read_own(&worker.pool, lease)
        .await?
        .map_or(Pause::Replaced, Pause::Moved))
}

/// Makes sure that the position counts in this stream. A stream that was made anew, or that ends before what was
/// applied, has lost its messages: begin at its first one, and tell commands apart by their ids.
async fn begin_in(worker: &Worker, lease: &mut Lease, stream: &Stream) -> Result<(), Pause> {
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
        tracing::warn!(partition = %lease.partition, %created, "the log's stream is another: begin at its first message");
    }
    move_to(worker, lease, begin).await
}

/// Moves an idle partition past what belongs to others, so that positions tell how far the log is applied.
async fn pass_others(
    worker: &Worker,
    lease: &mut Lease,
    horizon: Horizon,
    stream: &Stream,
    reader: &mut Reader,
) -> Result<(), Pause> {
    // The end of the log first: what is published between the two questions is then not passed.
    let info = stream
        .get_info()
        .await
        .map_err(|error| ReadError::Nats(error.into()))?;
    let end = info.state.last_sequence;
    if end <= lease.applied_seq || !reader.is_at_end(lease.applied_seq).await? {
        return Ok(());
    }
    move_to(
        worker,
        lease,
        Lease {
            applied_seq: end,
            ..lease.clone()
        },
    )
    .await?;
    announce::news(worker, lease, horizon, Vec::new()).await;
    Ok(())
}

async fn move_to(worker: &Worker, lease: &mut Lease, to: Lease) -> Result<(), Pause> {
    let mut connection = worker.pool.acquire().await?;
    let row = Move {
        known: lease.clone(),
        to,
    };
    if lease::advance(&mut connection, &row, worker.lease())
        .await?
        .is_none()
    {
        return Err(why_fenced(worker, lease).await?);
    }
    *lease = row.to;
    Ok(())
}
