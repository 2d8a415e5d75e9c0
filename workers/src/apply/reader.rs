//! Reads one partition of the log, in order and without acknowledgements.
//!
//! The position is in Postgres, so NATS keeps none: each reader is an ephemeral consumer of its own that begins where
//! Postgres says. Redelivery would reorder commands on a take-over, so there is none; a reader that missed a message
//! is thrown away and a new one begins behind what was applied. Next: [`crate::apply::batch`].

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
use holdfast_common::traces::{self, Links};
use tracing::Span;

/// A batch takes no further envelope once it has this many commands.
pub(crate) const BATCH_COMMANDS_MAX: usize = 2048;
/// A batch takes no further envelope once it has this many bytes.
const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// How many envelopes the server sends ahead: a webhook is one by itself.
const AHEAD_ENVELOPES_MAX: usize = 512;
/// How many bytes of envelopes the server sends ahead.
const AHEAD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often the server gives a sign of life; two missed ones end the reader.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// How long one request for messages lasts before it is renewed.
const REQUEST_EXPIRY: Duration = Duration::from_secs(20);
/// When the server forgets a consumer that nobody reads.
const CONSUMER_INACTIVE: Duration = Duration::from_secs(30);

/// Why reading ended. All of it is mended by a new reader.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// NATS did not give what was asked.
    #[error("NATS: {0}")]
    Nats(#[source] async_nats::Error),
    /// The server stopped sending.
    #[error("the log's consumer ended")]
    Ended,
    /// Messages were lost between the server and us.
    #[error("the log skipped from delivery {expected} to {found}")]
    Gap {
        /// The delivery that should have come.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// A newer program wrote the message, or one that has keys which we lack.
    #[error("log sequence {sequence}: {error}")]
    Unreadable {
        /// Where it stands.
        sequence: u64,
        /// Why it can't be read.
        error: DecodeError,
    },
}

impl ReadError {
    fn nats(error: impl Into<async_nats::Error>) -> Self {
        Self::Nats(error.into())
    }
}

/// A command of the log.
#[derive(Debug)]
pub struct Entry {
    /// The ingress that waits for its outcome.
    pub ingress: IngressId,
    /// The command.
    pub command: Command,
    /// The log sequence of its envelope.
    pub log_seq: u64,
}

/// What was read from the log at once.
#[derive(Debug, Default)]
pub struct Batch {
    /// The commands in the log's order.
    pub entries: Vec<Entry>,
    /// The log sequence of the last envelope.
    pub last_seq: u64,
    /// How many envelopes those were.
    pub envelopes: u64,
    /// How many envelopes of the partition the server had behind it.
    pub envelopes_behind: u64,
    bytes: usize,
    links: Links,
}

impl Batch {
    /// The span in which it is applied, with links to the requests whose commands it has.
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

/// Some commands of a batch, which are applied together, and where their partition stands behind them.
#[derive(Clone, Debug, Default)]
pub struct Part {
    batch: Arc<Batch>,
    range: Range<usize>,
    /// The log sequence up to which all is applied then.
    pub to_seq: u64,
}

impl Part {
    /// The commands at those places, when the partition stood at `applied_seq` before. A position counts whole
    /// envelopes: in the middle of one it stays before it, and commands that are read again are known by their ids.
    #[must_use]
    pub fn of(batch: &Arc<Batch>, range: Range<usize>, applied_seq: u64) -> Self {
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

    /// No commands, where a partition stands.
    #[must_use]
    pub fn nothing(applied_seq: u64) -> Self {
        Self {
            to_seq: applied_seq,
            ..Self::default()
        }
    }

    /// The commands in the log's order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.batch.entries[self.range.clone()]
    }
}

/// Reads one partition from one position on.
pub struct Reader {
    consumer: Consumer<pull::Config>,
    messages: pull::Stream,
    keys: Keyring,
    next_delivery: u64,
}

impl Reader {
    /// Begins behind the sequence that was applied last.
    ///
    /// # Errors
    /// When NATS does not make the consumer.
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

    /// Waits for the next envelope and takes with it what has arrived by then, within the bounds of a batch. Nothing is
    /// lost when the wait is given up.
    ///
    /// # Errors
    /// When messages were missed or can't be read; then the reader is of no more use.
    pub async fn next(&mut self) -> Result<Batch, ReadError> {
        let mut batch = Batch::default();
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

    fn add(&mut self, batch: &mut Batch, message: &Message) -> Result<(), ReadError> {
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
                let entry = |command| Entry {
                    ingress: reply_to,
                    command,
                    log_seq: sequence,
                };
                batch.entries.extend(commands.into_iter().map(entry));
            }
            // Only an older program can't read it, or one without its key: it waits in the log until that is mended.
            Err(error @ (DecodeError::UnknownVersion { .. } | DecodeError::Sealed(_))) => {
                return Err(ReadError::Unreadable { sequence, error });
            }
            // No ingress wrote this, so nobody waits for it; it stays in the log to be looked at.
            Err(error) => {
                tracing::error!(sequence, %error, "passed over a message in the log that is no envelope")
            }
        }
        batch.bytes += message.payload.len();
        batch.last_seq = sequence;
        batch.envelopes += 1;
        batch.links.read(message.headers.as_ref());
        batch.envelopes_behind = info.pending;
        Ok(())
    }

    /// Whether the server has nothing for us that we have not read.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn is_at_end(&mut self, applied_seq: u64) -> Result<bool, ReadError> {
        let info = self.consumer.info().await.map_err(ReadError::nats)?;
        Ok(info.num_pending == 0 && info.delivered.stream_sequence <= applied_seq)
    }
}
