//! Tickets: one message for each partition and second in which something falls due.
//!
//! The ticket's text is its message id, so JetStream stores it once however many workers and batches publish it.
//! Next: [`crate::expiry::redelivery`].

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::message::PublishMessage;
use holdfast_common::domain::{Changes, OrderState};
use holdfast_common::id::HoldId;
use holdfast_common::partition::Partition;
use holdfast_common::settings::LogLayout;
use holdfast_common::time::Timestamp;

use crate::expiry::stream::TicketStream;

/// The process remembers this many stored tickets, to publish each only once. The tickets that are due first are forgotten
/// first: they are the ones that are no longer needed.
const REMEMBERED_MAX: usize = 65_536;

#[derive(Debug, thiserror::Error)]
#[error("a ticket was not stored: {0}")]
pub struct TicketError(#[from] async_nats::Error);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// The Unix second at whose start all holds and orders of the ticket are due.
    pub due_second: i64,
    pub partition: u16,
}

impl Ticket {
    fn new(partition: Partition, due: Timestamp) -> Self {
        Self {
            due_second: due.0.div_euclid(1_000_000) + i64::from(due.0.rem_euclid(1_000_000) != 0),
            partition: partition.0,
        }
    }

    /// The message's body and its id.
    #[must_use]
    pub fn text(self) -> String {
        format!("{}:{}", self.partition, self.due_second)
    }

    /// Reads a message's body.
    #[must_use]
    pub fn parse(body: &[u8]) -> Option<Self> {
        let (partition, due_second) = std::str::from_utf8(body).ok()?.split_once(':')?;
        Some(Self {
            due_second: due_second.parse().ok()?,
            partition: partition.parse().ok()?,
        })
    }
}

/// Stores tickets, and remembers which ones are stored.
pub struct Tickets {
    stream: TicketStream,
    layout: LogLayout,
    stored: Mutex<BTreeSet<Ticket>>,
}

impl Tickets {
    #[must_use]
    pub fn new(stream: TicketStream, layout: LogLayout) -> Self {
        Self {
            stream,
            layout,
            stored: Mutex::default(),
        }
    }

    fn stored(&self) -> MutexGuard<'_, BTreeSet<Ticket>> {
        // The set is consistent after each call, so a panic elsewhere leaves it usable.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that a ticket is stored for each new hold and unpaid order of a batch. Called before the commit.
    ///
    /// # Errors
    /// When JetStream does not store one of them.
    pub async fn ensure(&self, changes: &Changes) -> Result<(), TicketError> {
        let partition = |id: HoldId| self.layout.partitions.of(id.slot());
        let holds = changes
            .new_holds
            .iter()
            .map(|hold| (hold.id, hold.expires_at));
        let unpaid = changes
            .new_orders
            .iter()
            .filter(|order| order.state == OrderState::PendingPayment);
        let due = holds.chain(unpaid.map(|order| (order.id, order.payment_due_at)));
        let mut missing: BTreeSet<_> = due
            .map(|(id, due)| Ticket::new(partition(id), due))
            .collect();
        {
            let stored = self.stored();
            missing.retain(|ticket| !stored.contains(ticket));
        }
        for ticket in missing {
            if let Err(error) = self.store(ticket).await {
                tracing::warn!(%error, "an expiry ticket was not stored; the stream is opened again and the ticket sent once more");
                self.stream
                    .open()
                    .await
                    .map_err(|error| TicketError(error.into()))?;
                self.store(ticket).await?;
            }
            self.remember(ticket);
        }
        Ok(())
    }

    fn remember(&self, ticket: Ticket) {
        let mut stored = self.stored();
        stored.insert(ticket);
        while stored.len() > REMEMBERED_MAX {
            stored.pop_first();
        }
    }

    async fn store(&self, ticket: Ticket) -> Result<(), async_nats::Error> {
        let message = PublishMessage::build()
            .payload(ticket.text().into())
            .message_id(ticket.text());
        let subject = self.layout.subjects.tickets(Partition(ticket.partition));
        let jetstream = &self.stream.jetstream;
        jetstream.send_publish(subject, message).await?.await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticket_is_due_at_the_next_whole_second() {
        let ticket = |micros| Ticket::new(Partition(3), Timestamp(micros)).due_second;
        assert_eq!(
            [ticket(5_000_000), ticket(5_000_001), ticket(5_999_999)],
            [5, 6, 6]
        );
    }

    #[test]
    fn ticket_text_parses_to_the_same_ticket() {
        let ticket = Ticket {
            due_second: 1_700_000_000,
            partition: 15,
        };
        assert_eq!(Ticket::parse(ticket.text().as_bytes()), Some(ticket));
        for body in [&b""[..], b"1", b"1:", b":1", b"x:1", b"\xff"] {
            assert_eq!(Ticket::parse(body), None);
        }
    }
}
