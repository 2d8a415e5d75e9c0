//! Publishes commands: one publisher for each partition, which sends one envelope at a time.
//!
//! Group commit: JetStream syncs each envelope to disk, and while it does, arriving commands gather in the next envelope.
//! The busier a partition is, the more commands share one sync. Only one envelope of a partition is in flight, because a
//! retry must not put its commands behind those of a later envelope.
//!
//! Bounds: an envelope has a largest size and number of commands, a queue has a largest number of envelopes, and an
//! envelope is retried for at most 12 seconds. JetStream stores an envelope once even when it is sent several times,
//! because each has a message id.
//!
//! The publisher must not wait for outcomes: [`super::submit`] does.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, ErrorCode};
use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::RequestId;
use holdfast_common::messages::envelope::{ENVELOPE_COMMANDS_MAX, EnvelopeBuilder};
use holdfast_common::messages::reply::IngressId;
use holdfast_common::partition::Partition;
use holdfast_common::traces::TraceLinks;
use tokio::sync::{Notify, SetOnce};
use tokio::time::{Instant, sleep_until};

use crate::commands::load_shedding::Priority;
use crate::commands::not_published::NotPublished;
use crate::commands::waiters::Waiters;
use crate::connections::Connections;
use crate::metrics::METRICS;
use crate::settings::Settings;

/// The least bound of a queue: an eighth of the envelopes is reserved for commands of high priority.
const QUEUED_ENVELOPES_MIN: usize = 8;
/// How long an envelope is sent again before its commands fail. A cluster that elects a new leader takes up to 8 seconds;
/// JetStream remembers message ids for 120.
const PUBLISH_FOR: Duration = Duration::from_secs(12);
/// The least time between two envelopes of a partition while other requests wait. An envelope and the worker's batch for
/// it cost as much CPU as 20 more holds in one envelope.
const INTERVAL_MIN: Duration = Duration::from_millis(3);
/// The same for a small envelope, which has the most to gain from more commands.
const INTERVAL_MIN_SMALL: Duration = Duration::from_millis(6);
/// An envelope with fewer commands is small.
const SMALL_COMMANDS: usize = 32;
/// The pause before an envelope is sent again doubles from the first value to the second.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// The result of publishing an envelope: its sequence in the log, or why it has none. The publisher sets it once.
pub type Publication = SetOnce<Result<u64, NotPublished>>;

/// An envelope that has not been sent. Commands are added to the last one of a queue.
struct QueuedEnvelope {
    envelope: EnvelopeBuilder,
    requests: Vec<RequestId>,
    links: TraceLinks,
    publication: Arc<Publication>,
    since: Instant,
}

/// The envelopes of one partition that have not been sent.
struct EnvelopeQueue {
    envelopes: Mutex<VecDeque<QueuedEnvelope>>,
    envelopes_max: usize,
    filled: Notify,
}

impl EnvelopeQueue {
    /// The queue has room for one command of each connection, because all clients may want the same product.
    fn new(connections_max: usize) -> Self {
        let envelopes_max = connections_max
            .div_ceil(ENVELOPE_COMMANDS_MAX)
            .max(QUEUED_ENVELOPES_MIN);
        Self {
            envelopes: Mutex::default(),
            envelopes_max,
            filled: Notify::new(),
        }
    }

    fn envelopes(&self) -> MutexGuard<'_, VecDeque<QueuedEnvelope>> {
        // Each operation leaves the queue consistent, so a panic of another thread does no harm.
        self.envelopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        reply_to: IngressId,
        request_id: RequestId,
        command: &[u8],
        priority: Priority,
    ) -> Result<Arc<Publication>, NotPublished> {
        let mut envelopes = self.envelopes();
        let envelopes_max = priority.places(self.envelopes_max);
        // A command of low priority must not fill an envelope that a command of high priority began in a reserved place.
        let is_beyond = envelopes.len() > envelopes_max;
        let has_fit = !is_beyond
            && envelopes
                .back_mut()
                .is_some_and(|last| last.envelope.push(command));
        if !has_fit {
            if envelopes.len() >= envelopes_max {
                return Err(NotPublished::QueueFull);
            }
            let mut envelope = EnvelopeBuilder::new(reply_to);
            // The first command always fits: it is far smaller than an envelope may be.
            envelope.push(command);
            envelopes.push_back(QueuedEnvelope {
                envelope,
                requests: Vec::new(),
                links: TraceLinks::default(),
                publication: Arc::new(Publication::new()),
                since: Instant::now(),
            });
        }
        let last = envelopes.back_mut().ok_or(NotPublished::QueueFull)?;
        last.requests.push(request_id);
        last.links.add_current();
        let publication = Arc::clone(&last.publication);
        drop(envelopes);
        self.filled.notify_one();
        Ok(publication)
    }

    /// Waits until there is an envelope, and returns how many commands it has.
    async fn filled(&self) -> usize {
        loop {
            if let Some(first) = self.envelopes().front() {
                return first.requests.len();
            }
            self.filled.notified().await;
        }
    }

    /// Waits until the next envelope is worth its cost. `sent` is when the previous envelope was sent; `waiting` is the
    /// number of requests of this ingress that wait for an outcome.
    ///
    /// When only this envelope's own requests wait, nothing else is in flight and no other command is likely to arrive:
    /// the envelope is sent at once, so a single request gets the shortest latency. Otherwise outcomes are on their way,
    /// their clients send the next commands soon, and a few milliseconds let these share the envelope.
    async fn wait_for_more_commands(&self, sent: Instant, waiting: impl Fn() -> usize) {
        let commands = self.filled().await;
        if waiting() > commands {
            sleep_until(sent + INTERVAL_MIN).await;
            if self.filled().await < SMALL_COMMANDS {
                sleep_until(sent + INTERVAL_MIN_SMALL).await;
            }
        }
    }

    /// Takes the oldest envelope. Only this partition's publisher calls it.
    fn pop(&self) -> Option<QueuedEnvelope> {
        self.envelopes().pop_front()
    }
}

/// Accepts commands for all partitions.
pub struct Publisher {
    reply_to: IngressId,
    queues: Vec<Arc<EnvelopeQueue>>,
}

impl Publisher {
    /// Starts a task for each partition.
    #[must_use]
    pub fn start(settings: &Settings, connections: &Connections, waiters: &Arc<Waiters>) -> Self {
        let connections_max = settings.ingress.limits.connections_max as usize;
        let queues = settings.nats.partitions.all().map(|partition| {
            let queue = Arc::new(EnvelopeQueue::new(connections_max));
            let publisher = PartitionPublisher {
                subject: settings.nats.subjects.commands(partition).into(),
                message_ids: format!("{:016x}-{partition}", connections.ingress.0),
                request_wait: settings.request_wait(),
                jetstream: connections.jetstream.clone(),
                keys: connections.keys.clone(),
                queue: Arc::clone(&queue),
                waiters: Arc::clone(waiters),
            };
            tokio::spawn(publisher.run());
            queue
        });
        Self {
            reply_to: connections.ingress,
            queues: queues.collect(),
        }
    }

    /// Adds an encoded command to its partition's next envelope.
    ///
    /// # Errors
    /// When the queue is full for this priority.
    pub fn push(
        &self,
        partition: Partition,
        request_id: RequestId,
        command: &[u8],
        priority: Priority,
    ) -> Result<Arc<Publication>, NotPublished> {
        self.queues[usize::from(partition.0)].push(self.reply_to, request_id, command, priority)
    }
}

/// The task of one partition.
struct PartitionPublisher {
    subject: Subject,
    /// The prefix of this task's message ids. It has the ingress's random id, so a restarted ingress never repeats one.
    message_ids: String,
    request_wait: Duration,
    jetstream: jetstream::Context,
    keys: Keyring,
    queue: Arc<EnvelopeQueue>,
    waiters: Arc<Waiters>,
}

impl PartitionPublisher {
    async fn run(self) {
        let mut sent = Instant::now();
        for number in 0_u64.. {
            self.queue
                .wait_for_more_commands(sent, || self.waiters.count())
                .await;
            let Some(QueuedEnvelope {
                envelope,
                requests,
                links,
                publication,
                since,
            }) = self.queue.pop()
            else {
                continue;
            };
            sent = Instant::now();
            METRICS.envelope_commands.record(requests.len() as f64);
            // After an outage, an envelope may be older than its requests' whole wait. Their clients have got 503, so its
            // commands are not sent late.
            let result = if since.elapsed() > self.request_wait {
                Err(NotPublished::Unavailable)
            } else {
                self.publish(envelope.finish(&self.keys).into(), &links, number)
                    .await
            };
            // Nothing else sets it, so this can't fail.
            let _ = publication.set(result);
            if let Err(reason) = result {
                for request_id in requests {
                    self.waiters.complete(request_id, Err(reason));
                }
            }
        }
    }

    /// Sends an envelope until JetStream acknowledges it, and returns its sequence in the log.
    ///
    /// The retries keep the partition's next envelope waiting. That is on purpose: envelopes of one partition must reach
    /// the log in the order of their commands.
    async fn publish(
        &self,
        envelope: Bytes,
        links: &TraceLinks,
        number: u64,
    ) -> Result<u64, NotPublished> {
        let message_id = format!("{}-{number}", self.message_ids);
        let begun = Instant::now();
        METRICS.envelope_bytes.record(envelope.len() as f64);
        let give_up = begun + PUBLISH_FOR;
        let pauses = ExponentialBuilder::default()
            .with_min_delay(RETRY_PAUSE.0)
            .with_max_delay(RETRY_PAUSE.1);
        for pause in pauses.with_jitter().without_max_times().build() {
            let message = PublishMessage::build()
                .payload(envelope.clone())
                .headers(links.headers());
            let message = message.message_id(&message_id);
            let error = match self
                .jetstream
                .send_publish(self.subject.clone(), message)
                .await
            {
                Ok(ack) => match ack.await {
                    Ok(ack) => {
                        METRICS.publish_seconds.record(begun.elapsed());
                        return Ok(ack.sequence);
                    }
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if is_log_full(&error) {
                tracing::error!(
                    subject = %self.subject,
                    "the command log is full; raise LOG_MAX_MB, or find out why the workers are behind"
                );
                return Err(NotPublished::LogFull);
            }
            if Instant::now() + pause > give_up {
                tracing::error!(
                    %error, subject = %self.subject, waited = ?begun.elapsed(),
                    "publishing an envelope failed; its requests get 503. Check NATS"
                );
                return Err(NotPublished::Unavailable);
            }
            METRICS.publish_retries.increment(1);
            tracing::warn!(
                %error, subject = %self.subject, ?pause,
                "publishing an envelope failed; trying again after a pause"
            );
            tokio::time::sleep(pause).await;
        }
        Err(NotPublished::Unavailable)
    }
}

/// JetStream reports "maximum bytes exceeded" as a failure to store.
fn is_log_full(error: &jetstream::context::PublishError) -> bool {
    let source = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    source.is_some_and(|source| source.error_code() == ErrorCode::STREAM_STORE_FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_common::id::ProductId;

    fn push(queue: &EnvelopeQueue, priority: Priority, command: &[u8]) -> bool {
        let request_id = RequestId::new(ProductId(1).slot(), 0, 1);
        queue
            .push(IngressId(1), request_id, command, priority)
            .is_ok()
    }

    #[test]
    fn a_queue_has_room_for_each_connections_command() {
        for connections_max in [16, 1_000, 16_384] {
            let queue = EnvelopeQueue::new(connections_max);
            let shoppers = Priority::Low.places(connections_max);
            assert!(
                (0..shoppers).all(|_| push(&queue, Priority::Low, &[0; 256])),
                "{connections_max}"
            );
        }
    }

    #[test]
    fn low_priority_leaves_a_part_of_the_queue_free() {
        let queue = EnvelopeQueue::new(16_384);
        let push_until_full = |priority| {
            let pushed = (0..)
                .take_while(|_| push(&queue, priority, &[0; 1024]))
                .count();
            (pushed > 0, queue.envelopes().len())
        };
        let open = Priority::Low.places(queue.envelopes_max);
        assert_eq!(push_until_full(Priority::Low), (true, open));
        assert_eq!(push_until_full(Priority::High), (true, queue.envelopes_max));
        queue.envelopes().pop_front();
        assert_eq!(
            push_until_full(Priority::Low),
            (false, queue.envelopes_max - 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_envelope_waits_when_other_requests_wait() {
        let waits = async |commands, waiting| {
            let (queue, sent) = (EnvelopeQueue::new(16), Instant::now());
            assert!((0..commands).all(|_| push(&queue, Priority::Low, &[0; 16])));
            queue.wait_for_more_commands(sent, || waiting).await;
            sent.elapsed()
        };
        let without_others = [
            waits(1, 1).await,
            waits(SMALL_COMMANDS, SMALL_COMMANDS).await,
        ];
        assert_eq!(without_others, [Duration::ZERO; 2]);
        // The paused clock counts in milliseconds and rounds up.
        let near = |waited: Duration, meant: Duration| {
            (meant..=meant + Duration::from_millis(1)).contains(&waited)
        };
        assert!(
            near(waits(SMALL_COMMANDS, 1_000).await, INTERVAL_MIN),
            "a large envelope waits for the interval"
        );
        assert!(
            near(waits(SMALL_COMMANDS - 1, 1_000).await, INTERVAL_MIN_SMALL),
            "a small envelope waits longer"
        );
    }
}
