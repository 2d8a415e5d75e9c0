//! The next time at which a hold or an order of a partition falls due, kept in memory by its worker.
//!
//! Only the partition's worker changes its rows, so before that time no batch needs to search for due rows. The time may be
//! too early, since the hold that set it may have ended; that costs one search. It is never too late: after a failed batch
//! it is unknown, and the next batch searches. It does not cover parked payments: `ExpireDue` searches for them.

use holdfast_common::domain::Changes;
use holdfast_common::time::Timestamp;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NextDue {
    /// The next batch has to search the tables.
    #[default]
    Unknown,
    /// Nothing falls due before this time.
    ClearUntil(Timestamp),
}

impl NextDue {
    /// The result of a search: the next due time, or `None` when no hold is active and no order is unpaid.
    #[must_use]
    pub fn found(next: Option<Timestamp>) -> Self {
        Self::ClearUntil(next.unwrap_or(Timestamp(i64::MAX)))
    }

    #[must_use]
    pub fn clear_until(self) -> Option<Timestamp> {
        match self {
            Self::Unknown => None,
            Self::ClearUntil(next) => Some(next),
        }
    }

    #[must_use]
    pub fn is_clear_at(self, now: Timestamp) -> bool {
        matches!(self, Self::ClearUntil(next) if now < next)
    }

    /// The next due time after a batch that created holds and orders.
    #[must_use]
    pub fn after(self, changes: &Changes) -> Self {
        let holds = changes.new_holds.iter().map(|hold| hold.expires_at);
        let orders = changes.new_orders.iter().map(|order| order.payment_due_at);
        match self {
            Self::Unknown => Self::Unknown,
            Self::ClearUntil(next) => {
                Self::ClearUntil(holds.chain(orders).fold(next, Timestamp::min))
            }
        }
    }
}
