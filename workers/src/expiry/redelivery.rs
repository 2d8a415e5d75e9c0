//! Delayed redelivery: tickets come, are sent back until their second has come, and then set off expiry.
//!
//! All workers share one durable consumer. A ticket is acknowledged only once the command that it set off is in the log,
//! so a worker that dies in between sets it off again, which does no harm.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::Message;
use futures_util::StreamExt;
use holdfast_common::partition::Partition;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::expiry::tickets::{TICKETS_MAX, Ticket};
use crate::store::clock;

/// The consumer that all workers share.
pub const CONSUMER: &str = "expiry";
/// How long a worker may take over a ticket before another gets it.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// How many tickets come at once.
const AHEAD_TICKETS_MAX: usize = 256;
const HEARTBEAT: Duration = Duration::from_secs(1);
const REQUEST_EXPIRY: Duration = Duration::from_secs(20);
/// The pause before something that failed is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Handles tickets until the process stops.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Some(Err(error)) = stop.run_until_cancelled(handle_tickets(&worker)).await {
            tracing::warn!(%error, "tickets could not be handled, will try again");
            stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE))
                .await;
        }
    }
}

/// The consumer as it is asked for.
#[must_use]
pub fn consumer_config() -> pull::Config {
    pull::Config {
        durable_name: Some(CONSUMER.to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: ACK_WAIT,
        // Tickets that were sent back count as pending.
        max_ack_pending: TICKETS_MAX,
        ..pull::Config::default()
    }
}

async fn handle_tickets(worker: &Worker) -> Result<(), async_nats::Error> {
    let consumer = super::open_stream(worker)
        .await?
        .get_or_create_consumer(CONSUMER, consumer_config())
        .await?;
    let messages = consumer
        .stream()
        .max_messages_per_batch(AHEAD_TICKETS_MAX)
        .heartbeat(HEARTBEAT);
    let mut messages = messages.expires(REQUEST_EXPIRY).messages().await?;
    while let Some(message) = messages.next().await {
        handle(worker, &message?).await?;
    }
    Ok(())
}

async fn handle(worker: &Worker, message: &Message) -> Result<(), async_nats::Error> {
    let Some(ticket) = Ticket::parse(&message.payload).filter(|ticket| is_ours(worker, *ticket))
    else {
        tracing::error!("a message on the expiry stream is no ticket; it was dropped");
        return message.ack_with(AckKind::Term).await;
    };
    let now = clock::now(&worker.pool).await?;
    let early_by = ticket
        .due_second
        .saturating_mul(1_000_000)
        .saturating_sub(now.0);
    if early_by > 0 {
        let delay = Duration::from_micros(early_by.cast_unsigned());
        return message.ack_with(AckKind::Nak(Some(delay))).await;
    }
    super::ask(
        worker,
        Partition(ticket.partition),
        &ticket.due_second.to_string(),
    )
    .await?;
    message.ack().await
}

fn is_ours(worker: &Worker, ticket: Ticket) -> bool {
    ticket.partition < worker.settings.nats.partitions.count()
}
