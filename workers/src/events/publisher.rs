//! Publishes a partition's events: each once, and in the order of its batches.
//!
//! The stream itself stores the position: the partition's last event on it. Each publish has the condition that this event
//! is still the last one. So two workers that both act as the owner can't publish an event twice or out of
//! order, however late one of them is. When the stream has no event of the partition any more, the cursor in Postgres
//! counts.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::header::{NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_ID};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use async_nats::{Client, HeaderMap};
use holdfast_common::log::atomic::{self, BatchMessage, MESSAGES_MAX};
use holdfast_common::messages::subjects::Subjects;
use holdfast_common::partition::Partition;
use sqlx::PgPool;
use tokio_util::task::AbortOnDropHandle;

use crate::announce::Announcer;
use crate::events::cloud_event::{self, CONTENT_TYPE, EventPosition};
use crate::events::stream::EventStream;
use crate::store::events;

/// Rows of the audit that are read at once. Each has the changes of one batch to one product.
const ROWS_MAX: i64 = 32;
/// The publisher also reads the audit this often without a signal: a commit whose worker died sends none.
const CHECK_EVERY: Duration = Duration::from_secs(5);
/// While there is more to publish, the cursor is written this often.
const CURSOR_EVERY: Duration = Duration::from_secs(1);
/// JetStream has to store a batch of events within this time.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// The pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

pub struct EventPublisher {
    pub pool: PgPool,
    pub nats: Client,
    pub subjects: Subjects,
    pub stream: EventStream,
    pub announcer: Arc<Announcer>,
}

/// The end of a partition's events on the stream.
struct PublishedEnd {
    position: EventPosition,
    /// The stream sequence of the last event; 0 when there is none.
    sequence: u64,
}

impl EventPublisher {
    /// Publishes a partition's events until the handle is dropped.
    pub fn start(self: &Arc<Self>, partition: Partition) -> AbortOnDropHandle<()> {
        let publisher = Arc::clone(self);
        AbortOnDropHandle::new(tokio::spawn(async move { publisher.run(partition).await }))
    }

    async fn run(&self, partition: Partition) {
        loop {
            let Err(error) = self.publish_all(partition).await;
            tracing::warn!(%partition, %error, "publishing events failed; the partition's events are published after a pause");
            tokio::time::sleep(RETRY_PAUSE).await;
            // Creates the stream when it is missing.
            if let Err(error) = self.stream.open().await {
                tracing::warn!(%partition, %error, "the stream of events could not be opened; it is opened again after a pause");
            }
        }
    }

    async fn publish_all(&self, partition: Partition) -> Result<Infallible, async_nats::Error> {
        let mut end = self.find_end(partition).await?;
        let mut cursor_written = Instant::now();
        loop {
            let from = end.position.next_row();
            let rows = events::rows(&self.pool, partition, from, ROWS_MAX).await?;
            let last = rows.last().map(|row| row.audit_id);
            for row in &rows {
                let events = cloud_event::events(row, &self.subjects.source(), end.position);
                for batch in events.chunks(MESSAGES_MAX) {
                    end.sequence = self.store(partition, batch, end.sequence).await?;
                }
                end.position = end.position.max(EventPosition::after_row(row.audit_id));
            }
            let is_all = rows.len() < ROWS_MAX as usize;
            if let Some(last) = last.filter(|_| is_all || cursor_written.elapsed() >= CURSOR_EVERY)
            {
                events::record_published(&self.pool, partition, last).await?;
                cursor_written = Instant::now();
            }
            if is_all {
                // A signal and a timeout both mean: read the audit again.
                let signal = self.announcer.commits.wait(partition);
                let _ = tokio::time::timeout(CHECK_EVERY, signal).await;
            }
        }
    }

    async fn find_end(&self, partition: Partition) -> Result<PublishedEnd, async_nats::Error> {
        let cursor = EventPosition::after_row(events::published(&self.pool, partition).await?);
        let stream = self.stream.open().await?;
        match stream
            .get_last_raw_message_by_subject(&self.subjects.events(partition))
            .await
        {
            Ok(last) => {
                let id = last
                    .headers
                    .get(NATS_MESSAGE_ID)
                    .and_then(|id| id.as_str().parse().ok());
                let position = id.map_or(cursor, |position: EventPosition| position.max(cursor));
                Ok(PublishedEnd {
                    position,
                    sequence: last.sequence,
                })
            }
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => {
                Ok(PublishedEnd {
                    position: cursor,
                    sequence: 0,
                })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Stores events after the partition's last one, and returns the stream sequence of the last of them.
    async fn store(
        &self,
        partition: Partition,
        events: &[(EventPosition, Vec<u8>)],
        last: u64,
    ) -> Result<u64, async_nats::Error> {
        let subject = self.subjects.events(partition);
        let messages = events.iter().enumerate().map(|(number, (position, body))| {
            let mut headers = HeaderMap::new();
            headers.insert("content-type", CONTENT_TYPE);
            if number == 0 {
                headers.insert(NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, last.to_string());
            }
            BatchMessage {
                subject: subject.as_str().into(),
                id: position.to_string(),
                headers,
                payload: body.clone().into(),
            }
        });
        let stored = atomic::publish(&self.nats, messages.collect(), ACK_WAIT).await?;
        Ok(stored.map_or(last, |ack| ack.sequence))
    }
}
