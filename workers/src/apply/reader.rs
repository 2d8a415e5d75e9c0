//! Reads one partition of the log, in order and without acknowledgements.
//!
//! The position is in Postgres, so NATS stores none. Each reader is an ephemeral consumer that begins after the applied
//! position. There are no acknowledgements and no redelivery, since a redelivered message would arrive out of order. A
//! reader that has missed a message is dropped, and a new one begins after the applied position.
//! Next: [`crate::apply::batch`].

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, Consumer, DeliverPolicy, ReplayPolicy, pull};
use async_nats::jetstream::message::Message;
use async_nats::jetstream::stream::Stream;
use futures_util::{FutureExt, StreamExt};
use holdfast_common::command::Command;
use holdfast_common::encryption::Keyring;
use holdfast_common::messages::envelope::{self, Envelope};
use holdfast_common::messages::reply::IngressId;
use holdfast_common::messages::wire::DecodeError;
use holdfast_common::partition::Partition;
use holdfast_common::traces::{self, TraceLinks};
use tracing::Span;

/// A batch takes no further envelope once it has this many commands.
pub(crate) const BATCH_COMMANDS_MAX: usize = 2048;
/// A batch takes no further envelope once it has this many bytes.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Envelopes that the server sends ahead. Each webhook has an envelope of its own.
const AHEAD_ENVELOPES_MAX: usize = 512;
/// Bytes of envelopes that the server sends ahead.
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The server sends an idle heartbeat this often. Two missed ones end the reader.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// A request for messages lasts this long; then the client renews it.
const REQUEST_EXPIRY: Duration = Duration::from_secs(20);
/// The server removes a consumer that has had no reader for this long.
const CONSUMER_INACTIVE: Duration = Duration::from_secs(30);

/// Why reading ended. A new reader recovers from each of these.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error("NATS: {0}")]
    Nats(#[source] async_nats::Error),
    /// The server stopped sending.
    #[error("the log's consumer ended")]
    Ended,
    /// Messages were lost between the server and this process.
    #[error("the log skipped from delivery {expected} to {found}")]
    Gap { expected: u64, found: u64 },
    /// A newer version wrote the message, or it is sealed by a key that this process does not have.
    #[error("log sequence {sequence}: {error}")]
    Unreadable { sequence: u64, error: DecodeError },
}

impl ReadError {
    fn nats(error: impl Into<async_nats::Error>) -> Self {
        Self::Nats(error.into())
    }
}

/// A command of the log.
#[derive(Debug)]
pub struct LogEntry {
    /// The ingress that waits for the outcome.
    pub ingress: IngressId,
    pub command: Command,
    /// The log sequence of the command's envelope.
    pub log_seq: u64,
}

/// The envelopes that one read took from the log.
#[derive(Debug, Default)]
pub struct ReadBatch {
    /// The commands in the log's order.
    pub entries: Vec<LogEntry>,
    /// The log sequence of the last envelope.
    pub last_seq: u64,
    pub envelopes: u64,
    /// Further envelopes of the partition in the log, as the server counted them with the last message.
    pub envelopes_behind: u64,
    bytes: usize,
    links: TraceLinks,
}

impl ReadBatch {
    /// The span in which the batch is applied, with links to the requests of its commands.
    #[must_use]
    pub fn span(&self, partition: Partition) -> Span {
        let commands = self.entries.len();
        let span = tracing::debug_span!(target: traces::TARGET, "batch", otel.kind = "consumer", %partition, commands);
        self.links.link(&span);
        span
    }

    fn is_full(&self) -> bool {
        self.entries.len() >= BATCH_COMMANDS_MAX || self.bytes >= BATCH_BYTES_MAX
    }
}

/// A range of a batch's commands that are applied together.
#[derive(Clone, Debug, Default)]
pub struct BatchPart {
    batch: Arc<ReadBatch>,
    range: Range<usize>,
    /// The partition's position after the part: every envelope up to this log sequence is applied.
    pub to_seq: u64,
}

impl BatchPart {
    /// The commands of a range, for a partition at position `applied_seq`. A position counts whole envelopes. A part that
    /// ends in the middle of an envelope leaves the position before it; commands that are read again later are recognized
    /// by their ids.
    #[must_use]
    pub fn of(batch: &Arc<ReadBatch>, range: Range<usize>, applied_seq: u64) -> Self {
        let entries = &batch.entries;
        let to_seq = match entries.get(range.end) {
            None => batch.last_seq,
            Some(next) => {
                let before = entries[..range.end].iter().rev().map(|entry| entry.log_seq);
                before
                    .into_iter()
                    .find(|seq| *seq < next.log_seq)
                    .unwrap_or(0)
                    .max(applied_seq)
            }
        };
        Self {
            batch: Arc::clone(batch),
            range,
            to_seq,
        }
    }

    /// No commands. The position does not move.
    #[must_use]
    pub fn nothing(applied_seq: u64) -> Self {
        Self {
            to_seq: applied_seq,
            ..Self::default()
        }
    }

    /// The commands in the log's order.
    #[must_use]
    pub fn entries(&self) -> &[LogEntry] {
        &self.batch.entries[self.range.clone()]
    }
}

/// Reads one partition.
pub struct Reader {
    consumer: Consumer<pull::Config>,
    messages: pull::Stream,
    keys: Keyring,
    next_delivery: u64,
}

impl Reader {
    /// Begins with the first envelope after `applied_seq`.
    ///
    /// # Errors
    /// When NATS does not create the consumer.
    pub async fn open(
        stream: &Stream,
        subject: String,
        applied_seq: u64,
        keys: Keyring,
    ) -> Result<Self, ReadError> {
        let config = pull::Config {
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: applied_seq + 1,
            },
            ack_policy: AckPolicy::None,
            replay_policy: ReplayPolicy::Instant,
            filter_subject: subject,
            inactive_threshold: CONSUMER_INACTIVE,
            memory_storage: true,
            num_replicas: 1,
            ..pull::Config::default()
        };
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(ReadError::nats)?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(AHEAD_ENVELOPES_MAX)
            .max_bytes_per_batch(AHEAD_BYTES_MAX)
            .heartbeat(HEARTBEAT)
            .expires(REQUEST_EXPIRY)
            .messages()
            .await
            .map_err(ReadError::nats)?;
        Ok(Self {
            consumer,
            messages,
            keys,
            next_delivery: 1,
        })
    }

    /// Waits for the next envelope, and takes with it those that have arrived by then, within the bounds of a batch.
    ///
    /// Cancel safe: the only await is the first one, and messages that it has not returned stay in the stream.
    ///
    /// # Errors
    /// When messages were missed or can't be read. Drop the reader then.
    pub async fn next(&mut self) -> Result<ReadBatch, ReadError> {
        let mut batch = ReadBatch::default();
        let mut next = Some(self.messages.next().await);
        while let Some(message) = next {
            let message = message.ok_or(ReadError::Ended)?.map_err(ReadError::nats)?;
            self.add(&mut batch, &message)?;
            next = if batch.is_full() {
                None
            } else {
                self.messages.next().now_or_never()
            };
        }
        Ok(batch)
    }

    fn add(&mut self, batch: &mut ReadBatch, message: &Message) -> Result<(), ReadError> {
        let info = message.info().map_err(ReadError::Nats)?;
        if info.consumer_sequence != self.next_delivery {
            return Err(ReadError::Gap {
                expected: self.next_delivery,
                found: info.consumer_sequence,
            });
        }
        self.next_delivery += 1;
        let sequence = info.stream_sequence;
        match envelope::decode(&message.payload, &self.keys) {
            Ok(Envelope { reply_to, commands }) => {
                let entry = |command| LogEntry {
                    ingress: reply_to,
                    command,
                    log_seq: sequence,
                };
                batch.entries.extend(commands.into_iter().map(entry));
            }
            // This program is too old or lacks a key. The partition waits until it is upgraded or gets the key.
            Err(error @ (DecodeError::UnknownVersion { .. } | DecodeError::Sealed(_))) => {
                return Err(ReadError::Unreadable { sequence, error });
            }
            // No ingress wrote this message, so no client waits for it.
            Err(error) => {
                tracing::error!(sequence, %error, "a message in the log is not an envelope; it is skipped and stays in the log for inspection")
            }
        }
        batch.bytes += message.payload.len();
        batch.last_seq = sequence;
        batch.envelopes += 1;
        batch.links.read(message.headers.as_ref());
        batch.envelopes_behind = info.pending;
        Ok(())
    }

    /// Whether every envelope of the partition that the log has was delivered here and applied.
    ///
    /// # Errors
    /// When NATS does not respond.
    pub async fn is_at_end(&mut self, applied_seq: u64) -> Result<bool, ReadError> {
        let info = self.consumer.info().await.map_err(ReadError::nats)?;
        Ok(info.num_pending == 0 && info.delivered.stream_sequence <= applied_seq)
    }
}
