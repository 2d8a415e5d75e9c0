//! Tickets: one message for each partition and second in which something falls due.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_nats::jetstream::message::PublishMessage;
use holdfast_common::domain::{Changes, OrderState};
use holdfast_common::id::HoldId;
use holdfast_common::partition::Partition;
use holdfast_common::time::Timestamp;

use crate::Worker;

/// The most tickets that are stored at once: a day's of 64 partitions.
pub const TICKETS_MAX: i64 = 64 * 86_400;
/// How many tickets a process remembers having stored, so that it asks JetStream once for each.
const REMEMBERED_MAX: usize = 65_536;

/// Why a ticket is not stored.
#[derive(Debug, thiserror::Error)]
#[error("a ticket was not stored: {0}")]
pub struct TicketError(#[from] async_nats::Error);

/// A second in which something of a partition falls due.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    /// In Unix seconds: the first whole second at which it is due.
    pub due_second: i64,
    /// The partition's number.
    pub partition: u16,
}

impl Ticket {
    fn new(partition: Partition, due: Timestamp) -> Self {
        Self {
            due_second: due.0.div_euclid(1_000_000) + i64::from(due.0.rem_euclid(1_000_000) != 0),
            partition: partition.0,
        }
    }

    /// The message's body and, being unique, its id.
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

/// The tickets that this process has stored.
#[derive(Debug, Default)]
pub struct Tickets {
    stored: Mutex<BTreeSet<Ticket>>,
}

impl Tickets {
    fn stored(&self) -> MutexGuard<'_, BTreeSet<Ticket>> {
        // The set is whole after each call, so a panic elsewhere leaves it usable.
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes sure that there is a ticket for everything in a batch that will fall due. Called before its commit.
    ///
    /// # Errors
    /// When JetStream does not store one of them.
    pub async fn ensure(&self, worker: &Worker, changes: &Changes) -> Result<(), TicketError> {
        let partition = |id: HoldId| worker.settings.nats.partitions.of(id.slot());
        let holds = changes
            .new_holds
            .iter()
            .map(|hold| (hold.id, hold.expires_at));
        let unpaid = changes
            .new_orders
            .iter()
            .filter(|order| order.state == OrderState::PendingPayment);
        let due = holds.chain(unpaid.map(|order| (order.id, order.payment_due_at)));
        let mut wanted: BTreeSet<_> = due
            .map(|(id, due)| Ticket::new(partition(id), due))
            .collect();
        {
            let stored = self.stored();
            wanted.retain(|ticket| !stored.contains(ticket));
        }
        for ticket in wanted {
            if let Err(error) = store(worker, ticket).await {
                tracing::warn!(%error, "a ticket was not stored; the expiry stream may have to be made anew");
                super::open_stream(worker)
                    .await
                    .map_err(|error| TicketError(error.into()))?;
                store(worker, ticket).await?;
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
}

async fn store(worker: &Worker, ticket: Ticket) -> Result<(), async_nats::Error> {
    let message = PublishMessage::build()
        .payload(ticket.text().into())
        .message_id(ticket.text());
    let subject = worker
        .settings
        .nats
        .subjects
        .tickets(Partition(ticket.partition));
    worker
        .jetstream
        .send_publish(subject, message)
        .await?
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_for_the_first_whole_second_at_which_it_is_due() {
        let ticket = |micros| Ticket::new(Partition(3), Timestamp(micros)).due_second;
        assert_eq!(
            [ticket(5_000_000), ticket(5_000_001), ticket(5_999_999)],
            [5, 6, 6]
        );
    }

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
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
