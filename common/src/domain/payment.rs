//! A payment, as its provider tells of it. I8: none that succeeded is lost; it is applied, parked, to be refunded, or
//! listed as unmatched.

use serde::{Deserialize, Serialize};

use crate::id::HoldId;
use crate::money::Currency;
use crate::time::Timestamp;

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The order it is for; it has the id of its hold.
    pub order_id: HoldId,
    /// The payment, as its provider names it.
    pub payment_id: String,
    /// Whether it succeeded; otherwise it failed. Never goes back to failed.
    pub succeeded: bool,
    /// The amount, in minor units, when the provider says so.
    pub amount_minor: Option<i64>,
    /// The currency, when the provider says so.
    pub currency: Option<Currency>,
    /// What became of it.
    pub state: PaymentState,
    /// Its place among the payments of its order, from 1.
    pub arrival: i32,
    /// When it was told of first.
    pub received_at: Timestamp,
}

/// What became of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// It waits for its order.
    Parked,
    /// It waited for 24 hours, and nothing of its id is known.
    Unmatched,
    /// It paid or cancelled its order.
    Applied,
    /// It changed nothing, and no money is owed for it.
    Ignored,
    /// Its money goes back.
    Refund {
        /// How far that has come.
        status: RefundStatus,
        /// Why.
        reason: RefundReason,
    },
}

/// How far a refund has come. Ordered: what has come least far is greatest, since it counts for its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefundStatus {
    /// There is none.
    #[default]
    None,
    /// The money is back.
    Refunded,
    /// The provider was asked.
    Requested,
    /// The provider is to be asked.
    Due,
}

/// Why a payment's money goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundReason {
    /// Its order was cancelled, and there was no stock left or late payments are refunded.
    OrderCancelled,
    /// It is not what the order costs.
    Mismatch,
    /// Another payment had paid the order.
    AlreadyPaid,
    /// Its hold ended without an order.
    HoldEnded,
    /// Nothing matched it, and an operator has paid it back by hand. It is never due.
    Unmatched,
}

impl RefundReason {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::OrderCancelled,
        Self::Mismatch,
        Self::AlreadyPaid,
        Self::HoldEnded,
        Self::Unmatched,
    ];
}
