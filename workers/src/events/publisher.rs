//! Publishes a partition's events: each once, and in the order of its batches.
//!
//! How far that has come is said by the stream itself: the partition's last event there. Every batch is published under
//! the condition that it still is the last one, so two workers that both believe to have the partition can't publish
//! the same event twice or one in the wrong place, however late one of them is. Where the stream has no event of the
//! partition any more, the cursor in Postgres counts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use holdfast_common::log::atomic::{self, MESSAGES_MAX, Message};
use holdfast_common::partition::Partition;
use tokio_util::task::AbortOnDropHandle;

use crate::Worker;
use crate::events::cloud_event::{self, CONTENT_TYPE, Position};
use crate::store::events;

/// How many rows of the audit are read at once; each has the changes of one batch.
const ROWS_MAX: i64 = 32;
/// How often it looks without having heard of a commit.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How often the cursor is written while there is more to publish.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// How long JetStream may take to store a batch.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// The pause before something that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Publishes a partition's events until the handle is dropped. `None` when nobody wants events.
#[must_use]
pub fn start(worker: &Arc<Worker>, partition: Partition) -> Option<AbortOnDropHandle<()>> {
    let is_on = worker.settings.worker.events.is_on();
    is_on.then(|| AbortOnDropHandle::new(tokio::spawn(run(Arc::clone(worker), partition))))
}

async fn run(worker: Arc<Worker>, partition: Partition) {
    loop {
        let Err(error) = publish(&worker, partition).await;
        tracing::warn!(%partition, %error, "events could not be published, will try again");
        tokio::time::sleep(RETRY_PAUSE).await;
        // The stream may have to be made anew.
        if let Err(error) = super::open_stream(&worker).await {
            tracing::warn!(%partition, %error, "the stream of events could not be opened");
        }
    }
}

/// What is on the stream of the partition.
struct Sent {
    position: Position,
    /// Its last event's place in the stream; 0 when there is none.
    sequence: u64,
}

async fn publish(
    worker: &Worker,
    partition: Partition,
) -> Result<std::convert::Infallible, async_nats::Error> {
    let mut sent = look(worker, partition).await?;
    let mut noted = Instant::now();
    loop {
        let rows =
            events::rows(&worker.pool, partition, sent.position.next_row(), ROWS_MAX).await?;
        let last = rows.last().map(|row| row.audit_id);
        for row in &rows {
            let made =
                cloud_event::events(row, &worker.settings.nats.subjects.source(), sent.position);
            for batch in made.chunks(MESSAGES_MAX) {
                sent.sequence = store(worker, partition, batch, sent.sequence).await?;
            }
            sent.position = sent.position.max(Position::after_row(row.audit_id));
        }
        let is_all = rows.len() < ROWS_MAX as usize;
        if let Some(last) = last.filter(|_| is_all || noted.elapsed() >= NOTE_EVERY) {
            events::note_sent(&worker.pool, partition, last).await?;
            noted = Instant::now();
        }
        if is_all {
            // Either way it looks: a batch may have been committed without a word.
            let _ = tokio::time::timeout(LOOK_EVERY, worker.committed.heard(partition)).await;
        }
    }
}

/// How far the partition's events have come.
async fn look(worker: &Worker, partition: Partition) -> Result<Sent, async_nats::Error> {
    let noted = Position::after_row(events::sent(&worker.pool, partition).await?);
    let stream = super::open_stream(worker).await?;
    match stream
        .get_last_raw_message_by_subject(&worker.settings.nats.subjects.events(partition))
        .await
    {
        Ok(last) => {
            let id = last
                .headers
                .get(NATS_MESSAGE_ID)
                .and_then(|id| id.as_str().parse().ok());
            let position = id.map_or(noted, |position: Position| position.max(noted));
            Ok(Sent {
                position,
                sequence: last.sequence,
            })
        }
        Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => Ok(Sent {
            position: noted,
            sequence: 0,
        }),
        Err(error) => Err(error.into()),
    }
}

/// Stores events behind the partition's last one, and tells the place of the last of them.
async fn store(
    worker: &Worker,
    partition: Partition,
    events: &[(Position, Vec<u8>)],
    last: u64,
) -> Result<u64, async_nats::Error> {
    let subject = worker.settings.nats.subjects.events(partition);
    let messages = events.iter().enumerate().map(|(number, (position, body))| {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", CONTENT_TYPE);
        if number == 0 {
            headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
        }
        let (subject, payload) = (subject.as_str().into(), body.clone().into());
        Message {
            subject,
            id: position.to_string(),
            headers,
            payload,
        }
    });
    let stored = atomic::publish(&worker.nats, messages.collect(), ACK_WAIT).await?;
    Ok(stored.map_or(last, |ack| ack.sequence))
}
