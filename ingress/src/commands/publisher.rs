//! The publishers: one a partition, each with one envelope on its way to the log at a time.
//!
//! While JetStream syncs an envelope to disk, the commands that arrive gather in the next one (group commit): the busier
//! a partition, the more commands share a sync. While others wait for their outcome, an envelope also keeps its distance
//! from the one before. An envelope has a message id, so sending it again until it is
//! acknowledged stores it once. What is queued is bounded, and so is how long anybody tries.

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
use holdfast_common::traces::Links;
use tokio::sync::{Notify, SetOnce};
use tokio::time::{Instant, sleep_until};

use crate::Settings;
use crate::commands::load_shedding::Room;
use crate::commands::waiters::{Answer, Waiters};
use crate::connections::Connections;
use crate::metrics::METRICS;

/// The least number of envelopes that may gather in a partition: a share of them is kept for others than shoppers.
const QUEUED_ENVELOPES_MIN: usize = 8;
/// How long an envelope is sent again before its commands are given up. A cluster that elects a new leader takes up to
/// 8 seconds; JetStream knows message ids for 120.
const PUBLISH_FOR: Duration = Duration::from_secs(12);
/// The least time between two envelopes of a busy partition, and what a small one waits for company. An envelope and its
/// batch cost as much CPU as twenty more holds in them.
const PACE: (Duration, Duration) = (Duration::from_millis(3), Duration::from_millis(6));
/// An envelope with fewer commands is small.
const SMALL_COMMANDS: usize = 32;
/// The first pause before an envelope is sent again, and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// Why a command is not in the log. It may still get there when the last attempt was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// NATS does not answer.
    #[error("the command log does not answer")]
    Unavailable,
    /// The log has reached its greatest size.
    #[error("the command log is full")]
    LogFull,
    /// Too many commands wait already.
    #[error("too many commands are waiting")]
    QueueFull,
}

/// What became of an envelope: its sequence in the log, or why it has none. Set once.
pub type Publication = SetOnce<Result<u64, NotPublished>>;

/// An envelope that gathers commands.
struct Gathering {
    envelope: EnvelopeBuilder,
    requests: Vec<RequestId>,
    links: Links,
    publication: Arc<Publication>,
    since: Instant,
}

/// One partition's envelopes that have not been sent; commands go into the last one.
struct Queue {
    envelopes: Mutex<VecDeque<Gathering>>,
    envelopes_max: usize,
    filled: Notify,
}

impl Queue {
    /// With a place for whoever may be connected: they may all want the same product.
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

    fn envelopes(&self) -> MutexGuard<'_, VecDeque<Gathering>> {
        // Each envelope is whole after each call, so a panic elsewhere leaves the queue usable.
        self.envelopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn push(
        &self,
        reply_to: IngressId,
        request_id: RequestId,
        command: &[u8],
        room: Room,
    ) -> Result<Arc<Publication>, NotPublished> {
        let mut envelopes = self.envelopes();
        let envelopes_max = room.places(self.envelopes_max);
        // A shopper's command may not fill up what another's has begun in the reserved room.
        let is_beyond = envelopes.len() > envelopes_max;
        let had_room = !is_beyond
            && envelopes
                .back_mut()
                .is_some_and(|last| last.envelope.push(command));
        if !had_room {
            if envelopes.len() >= envelopes_max {
                return Err(NotPublished::QueueFull);
            }
            let mut envelope = EnvelopeBuilder::new(reply_to);
            // A single command is far smaller than an envelope may be.
            envelope.push(command);
            let publication = Arc::new(Publication::new());
            envelopes.push_back(Gathering {
                envelope,
                requests: Vec::new(),
                links: Links::default(),
                publication,
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

    /// Waits until there is something to send; says how many commands.
    async fn filled(&self) -> usize {
        loop {
            if let Some(first) = self.envelopes().front() {
                return first.requests.len();
            }
            self.filled.notified().await;
        }
    }

    /// Waits until the next envelope is worth its cost, when the one before was sent at `sent` and so many requests wait.
    async fn ripe(&self, sent: Instant, waiting: impl Fn() -> usize) {
        let commands = self.filled().await;
        // When nothing else is on its way, nobody comes whom it would be worth to wait for.
        if waiting() > commands {
            sleep_until(sent + PACE.0).await;
            if self.filled().await < SMALL_COMMANDS {
                sleep_until(sent + PACE.1).await;
            }
        }
    }

    /// Takes what was filled first. Nobody else takes any.
    fn pop(&self) -> Option<Gathering> {
        self.envelopes().pop_front()
    }
}

/// Puts commands into the log.
pub struct Publisher {
    reply_to: IngressId,
    queues: Vec<Arc<Queue>>,
}

impl Publisher {
    /// Starts a publisher for each partition.
    #[must_use]
    pub fn start(settings: &Settings, connections: &Connections, waiters: &Arc<Waiters>) -> Self {
        let connections_max = settings.ingress.limits.connections_max as usize;
        let queues = settings.nats.partitions.all().map(|partition| {
            let queue = Arc::new(Queue::new(connections_max));
            let task = Task {
                subject: settings.nats.subjects.commands(partition).into(),
                message_ids: format!("{:016x}-{partition}", connections.ingress.0),
                wait: Duration::from_millis(settings.ingress.request_wait_ms),
                jetstream: connections.jetstream.clone(),
                keys: connections.keys.clone(),
                queue: Arc::clone(&queue),
                waiters: Arc::clone(waiters),
            };
            tokio::spawn(task.run());
            queue
        });
        Self {
            reply_to: connections.ingress,
            queues: queues.collect(),
        }
    }

    /// Queues an encoded command for its partition's next envelope.
    ///
    /// # Errors
    /// When the partition's queue is full, as far as this room goes.
    pub fn push(
        &self,
        partition: Partition,
        request_id: RequestId,
        command: &[u8],
        room: Room,
    ) -> Result<Arc<Publication>, NotPublished> {
        self.queues[usize::from(partition.0)].push(self.reply_to, request_id, command, room)
    }
}

/// What one partition's publisher works with.
struct Task {
    subject: Subject,
    message_ids: String,
    wait: Duration,
    jetstream: jetstream::Context,
    keys: Keyring,
    queue: Arc<Queue>,
    waiters: Arc<Waiters>,
}

impl Task {
    async fn run(self) {
        let mut sent = Instant::now();
        for number in 0_u64.. {
            self.queue.ripe(sent, || self.waiters.count()).await;
            let Some(Gathering {
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
            // After its requests' whole wait nobody wants it any more; what an outage left behind is not sent late.
            METRICS.envelope_commands.record(requests.len() as f64);
            let result = if since.elapsed() > self.wait {
                Err(NotPublished::Unavailable)
            } else {
                self.publish(envelope.finish(&self.keys).into(), &links, number)
                    .await
            };
            // Nobody else sets it.
            let _ = publication.set(result);
            if let Err(reason) = result {
                for request_id in requests {
                    self.waiters
                        .answer(request_id, Answer::NotPublished(reason));
                }
            }
        }
    }

    /// Sends an envelope until it is acknowledged; says its sequence in the log.
    async fn publish(
        &self,
        envelope: Bytes,
        links: &Links,
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
                    "the command log is full: raise LOG_MAX_MB, or see why its workers are behind"
                );
                return Err(NotPublished::LogFull);
            }
            if Instant::now() + pause > give_up {
                tracing::error!(%error, "an envelope could not be published");
                return Err(NotPublished::Unavailable);
            }
            METRICS.publish_retries.increment(1);
            tracing::warn!(%error, "publishing an envelope failed, will try again");
            tokio::time::sleep(pause).await;
        }
        Err(NotPublished::Unavailable)
    }
}

/// "Maximum bytes exceeded" comes as a failure to store.
fn is_log_full(error: &jetstream::context::PublishError) -> bool {
    let source = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<jetstream::Error>());
    source.is_some_and(|source| source.error_code() == ErrorCode::STREAM_STORE_FAILED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_common::id::ProductId;

    fn push(queue: &Queue, room: Room, command: &[u8]) -> bool {
        let request_id = RequestId::new(ProductId(1).slot(), 0, 1);
        queue.push(IngressId(1), request_id, command, room).is_ok()
    }

    #[test]
    fn everybody_who_may_be_connected_may_want_the_same_product() {
        for connections_max in [16, 1_000, 16_384] {
            let queue = Queue::new(connections_max);
            let shoppers = Room::Open.places(connections_max);
            assert!(
                (0..shoppers).all(|_| push(&queue, Room::Open, &[0; 256])),
                "{connections_max}"
            );
        }
    }

    #[test]
    fn shoppers_commands_leave_a_part_of_the_queue_to_others() {
        let queue = Queue::new(16_384);
        let push_until_full = |room| {
            let pushed = (0..).take_while(|_| push(&queue, room, &[0; 1024])).count();
            (pushed > 0, queue.envelopes().len())
        };
        let open = Room::Open.places(queue.envelopes_max);
        assert_eq!(push_until_full(Room::Open), (true, open));
        assert_eq!(push_until_full(Room::Reserved), (true, queue.envelopes_max));
        queue.envelopes().pop_front();
        assert_eq!(
            push_until_full(Room::Open),
            (false, queue.envelopes_max - 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_envelope_waits_for_company_unless_nobody_else_is_there() {
        let waits = async |commands, waiting| {
            let (queue, sent) = (Queue::new(16), Instant::now());
            assert!((0..commands).all(|_| push(&queue, Room::Open, &[0; 16])));
            queue.ripe(sent, || waiting).await;
            sent.elapsed()
        };
        let nobody_else = [
            waits(1, 1).await,
            waits(SMALL_COMMANDS, SMALL_COMMANDS).await,
        ];
        assert_eq!(nobody_else, [Duration::ZERO; 2]);
        // The clock of tests has milliseconds, and rounds up.
        let near = |waited: Duration, meant: Duration| {
            (meant..=meant + Duration::from_millis(1)).contains(&waited)
        };
        assert!(
            near(waits(SMALL_COMMANDS, 1_000).await, PACE.0),
            "a large one keeps its distance"
        );
        assert!(
            near(waits(SMALL_COMMANDS - 1, 1_000).await, PACE.1),
            "a small one waits longer"
        );
    }
}
