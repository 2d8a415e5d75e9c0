//! Delayed redelivery: receives tickets, sends early ones back until their second has come, and requests expiry then.
//!
//! All workers share one durable consumer. A ticket is acknowledged only after its command is in the log. A worker that
//! dies between the two lets another worker publish the command again, which is harmless: nothing ends twice.

use std::time::Duration;

use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::{AckPolicy, pull};
use async_nats::jetstream::message::Message;
use futures_util::StreamExt;
use holdfast_common::partition::{Partition, Partitions};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::expiry::requests::ExpiryRequests;
use crate::expiry::stream::{TICKETS_MAX, TicketStream};
use crate::expiry::tickets::Ticket;
use crate::store;

/// The name of the consumer that all workers share.
pub const CONSUMER: &str = "expiry";
/// Another worker gets a ticket that was not acknowledged for this long.
const ACK_WAIT: Duration = Duration::from_secs(5);
/// Tickets that one request for messages brings.
const AHEAD_TICKETS_MAX: usize = 256;
const HEARTBEAT: Duration = Duration::from_secs(1);
const REQUEST_EXPIRY: Duration = Duration::from_secs(20);
/// The pause after a failure.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

pub struct Redelivery {
    pub stream: TicketStream,
    pub pool: PgPool,
    pub partitions: Partitions,
    pub expiry: ExpiryRequests,
}

/// The settings of the consumer.
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

impl Redelivery {
    /// Handles tickets until the process stops.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Some(Err(error)) = stop.run_until_cancelled(self.handle_all()).await {
                tracing::warn!(%error, "expiry tickets could not be handled; they are received again after a pause");
                stop.run_until_cancelled(tokio::time::sleep(RETRY_PAUSE))
                    .await;
            }
        }
    }

    async fn handle_all(&self) -> Result<(), async_nats::Error> {
        let consumer = self
            .stream
            .open()
            .await?
            .get_or_create_consumer(CONSUMER, consumer_config())
            .await?;
        let messages = consumer
            .stream()
            .max_messages_per_batch(AHEAD_TICKETS_MAX)
            .heartbeat(HEARTBEAT);
        let mut messages = messages.expires(REQUEST_EXPIRY).messages().await?;
        while let Some(message) = messages.next().await {
            self.handle(&message?).await?;
        }
        Ok(())
    }

    async fn handle(&self, message: &Message) -> Result<(), async_nats::Error> {
        let ticket = Ticket::parse(&message.payload);
        // Tickets may remain from a log that had more partitions.
        let Some(ticket) = ticket.filter(|ticket| ticket.partition < self.partitions.count())
        else {
            tracing::error!(
                "a message on the expiry stream is not a ticket of this log; it is dropped"
            );
            return message.ack_with(AckKind::Term).await;
        };
        let now = store::now(&self.pool).await?;
        let early_by = ticket
            .due_second
            .saturating_mul(1_000_000)
            .saturating_sub(now.0);
        if early_by > 0 {
            let delay = Duration::from_micros(early_by.cast_unsigned());
            return message.ack_with(AckKind::Nak(Some(delay))).await;
        }
        let occasion = ticket.due_second.to_string();
        self.expiry
            .request(Partition(ticket.partition), &occasion)
            .await?;
        message.ack().await
    }
}
