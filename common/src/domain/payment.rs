//! A payment, as its provider reports it.
//!
//! I8: no payment that succeeded is lost. It is applied, parked, refunded or listed as unmatched.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::HoldId;
use crate::money::Currency;
use crate::time::Timestamp;

/// Time after which a parked payment without an order becomes unmatched. The only place with this number.
pub const UNMATCHED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The id of the order, which is the id of its hold.
    pub order_id: HoldId,
    /// The provider's id of the payment.
    pub payment_id: String,
    /// Whether the payment succeeded; otherwise it failed. A success never becomes a failure.
    pub succeeded: bool,
    /// The amount in minor units, when the provider sent it.
    pub amount_minor: Option<i64>,
    /// The currency, when the provider sent it.
    pub currency: Option<Currency>,
    pub state: PaymentState,
    /// The payment's number among the payments of its order, from 1.
    pub arrival: i32,
    /// The time of the first notice of this payment.
    pub received_at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// The payment waits for its order.
    Parked,
    /// The payment has waited for [`UNMATCHED_AFTER`], and no order came.
    Unmatched,
    /// The payment paid or cancelled its order.
    Applied,
    /// The payment changed nothing, and no money has to go back.
    Ignored,
    /// The payment's money goes back.
    Refund {
        status: RefundStatus,
        reason: RefundReason,
    },
}

/// The progress of a refund. The order of the variants counts: of an order's refunds, the greatest is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RefundStatus {
    #[default]
    None,
    /// The money is back.
    Refunded,
    /// The shop has accepted the refund request.
    Requested,
    /// No refund request was accepted yet.
    Due,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundReason {
    /// The order was cancelled, and the policy or the stock does not allow to pay it late.
    OrderCancelled,
    /// The amount or the currency differs from the order's.
    Mismatch,
    /// Another payment had paid the order.
    AlreadyPaid,
    /// The hold ended without an order.
    HoldEnded,
    /// The payment was unmatched, and an operator recorded that its money is back. Never due.
    Unmatched,
}

impl RefundReason {
    pub const ALL: [Self; 5] = [
        Self::OrderCancelled,
        Self::Mismatch,
        Self::AlreadyPaid,
        Self::HoldEnded,
        Self::Unmatched,
    ];
}
