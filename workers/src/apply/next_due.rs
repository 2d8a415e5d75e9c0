//! When something of a partition falls due next, as far as its worker knows.
//!
//! Nothing of a partition changes but by its worker, so until then no batch needs to look for what is due. What is not
//! certain is looked up.

use holdfast_common::domain::Changes;
use holdfast_common::time::Timestamp;

/// The next due time of a partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Horizon {
    /// It has to be looked up.
    #[default]
    Unknown,
    /// Nothing is due before this.
    ClearUntil(Timestamp),
}

impl Horizon {
    /// What was looked up: the next due time, if there is one.
    #[must_use]
    pub fn found(next: Option<Timestamp>) -> Self {
        Self::ClearUntil(next.unwrap_or(Timestamp(i64::MAX)))
    }

    /// The time before which nothing is due, when that is known.
    #[must_use]
    pub fn clear_until(self) -> Option<Timestamp> {
        match self {
            Self::Unknown => None,
            Self::ClearUntil(next) => Some(next),
        }
    }

    /// Whether nothing can be due at a time.
    #[must_use]
    pub fn is_clear_at(self, now: Timestamp) -> bool {
        matches!(self, Self::ClearUntil(next) if now < next)
    }

    /// The horizon after a batch that has made new holds and orders.
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
