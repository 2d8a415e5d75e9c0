//! Which requests get 503 first when too many are waiting.
//!
//! Shoppers' commands come in floods, and a shopper can retry. A payment's webhook or an operator's command must not wait
//! until the flood ends. So shoppers' commands may fill only a part of each queue; when it is full, they get 503 at once.
//! Reads take no place in a queue, but each needs a connection, and each waiting request occupies one. So the number of
//! waiting requests is bounded by the number of connections, and the reserved part of the places is also a reserved part
//! of the connections.

use holdfast_common::command::Action;

/// One place in eight is reserved for webhooks, operators and reads. They are few and get a response within milliseconds,
/// so an eighth is plenty (2,048 connections by default). The other seven eighths are more than a worker needs to fill
/// its batches.
const RESERVED_SHARE: usize = 8;

/// The priority of a command when a queue is nearly full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Shoppers' commands: all places that are not reserved.
    Low,
    /// Webhooks and operators' commands: all places.
    High,
}

impl Priority {
    #[must_use]
    pub fn of(action: &Action) -> Self {
        match action {
            Action::CreateHold { .. } | Action::ReleaseHold { .. } | Action::CreateOrder { .. } => {
                Self::Low
            }
            Action::CreateProduct(_)
            | Action::ChangeProduct { .. }
            | Action::Restock { .. }
            | Action::SettlePayment(_)
            | Action::ExpireDue
            | Action::AdvanceRefund { .. }
            | Action::SettleDeadLetter { .. }
            | Action::RepairStock { .. }
            | Action::ForgetCustomer { .. } => Self::High,
        }
    }

    /// How many of a queue's places commands of this priority may take.
    #[must_use]
    pub fn places(self, all: usize) -> usize {
        match self {
            Self::Low => all - all / RESERVED_SHARE,
            Self::High => all,
        }
    }
}
