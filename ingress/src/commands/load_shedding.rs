//! Who is refused first when too much waits.
//!
//! Shoppers' commands come in floods and can come again; a payment's webhook and an operator's command can't wait for the
//! flood to end. So the former may fill only a part of each queue, and are told 503 at once when it is full. What is
//! read takes no place in a queue at all: it needs a connection, and a connection that waits for an outcome is taken.
//! Therefore as many requests may wait as there may be connections, and the part that is left to others is left of both.

use holdfast_common::command::Action;

/// One place in so many is kept for webhooks, operators and reads. They are few and answered within milliseconds, so an
/// eighth is plenty (2,048 connections by default); and flood or not, seven eighths are more than a worker needs to keep
/// its batches full.
const RESERVED_SHARE: usize = 8;

/// How much of a queue a command may find taken and still get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// What is not reserved.
    Open,
    /// All of it.
    Reserved,
}

impl Room {
    /// The room that is for a command.
    #[must_use]
    pub fn of(action: &Action) -> Self {
        match action {
            Action::CreateHold { .. } | Action::ReleaseHold { .. } | Action::CreateOrder { .. } => {
                Self::Open
            }
            Action::CreateProduct(_)
            | Action::ChangeProduct { .. }
            | Action::Restock { .. }
            | Action::SettlePayment(_)
            | Action::ExpireDue
            | Action::AdvanceRefund { .. }
            | Action::SettleDeadLetter { .. }
            | Action::RepairStock { .. }
            | Action::ForgetCustomer { .. } => Self::Reserved,
        }
    }

    /// How many of a queue's places that is.
    #[must_use]
    pub fn places(self, all: usize) -> usize {
        match self {
            Self::Open => all - all / RESERVED_SHARE,
            Self::Reserved => all,
        }
    }
}
