//! An order: a hold that its buyer is going to pay for.

use serde::{Deserialize, Serialize};

use crate::domain::hold::Hold;
use crate::domain::payment::RefundStatus;
use crate::id::{HoldId, ProductId};
use crate::money::Currency;
use crate::time::Timestamp;

/// Units that are paid for, or are to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The order; it has the id of the hold it consumed.
    pub id: HoldId,
    /// Of which product.
    pub product_id: ProductId,
    /// How many units.
    pub quantity: u32,
    /// For whom, when the shop said so.
    pub customer_id: Option<String>,
    /// What all units cost, in minor units, at the price of when the hold was made.
    pub amount_minor: i64,
    /// The price's currency.
    pub currency: Currency,
    /// Whether it is paid.
    pub state: OrderState,
    /// How far the refunds of its payments have come; the one that has come least counts.
    pub refund_status: RefundStatus,
    /// From when on it is cancelled unless it was paid.
    pub payment_due_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whether an order is paid. I3: `PendingPayment` becomes `Paid` or `Cancelled`; `Cancelled` becomes `Paid` only by a
/// late payment that gets stock; `Paid` is final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderState {
    /// Its units are promised.
    PendingPayment,
    /// Its units are sold.
    Paid {
        /// The payment that paid it, as its provider names it.
        payment_id: String,
        /// When.
        at: Timestamp,
    },
    /// Its units are back on sale.
    Cancelled {
        /// Why.
        reason: CancelReason,
        /// When.
        at: Timestamp,
    },
}

/// An order's state without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum OrderStatus {
    /// See [`OrderState::PendingPayment`].
    PendingPayment,
    /// See [`OrderState::Paid`].
    Paid,
    /// See [`OrderState::Cancelled`].
    Cancelled,
}

/// Why an order was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CancelReason {
    /// Its payment failed.
    PaymentFailed,
    /// It was not paid in time.
    PaymentTimeout,
}

impl Order {
    pub(super) fn of_hold(hold: &Hold, now: Timestamp, payment_seconds: u32) -> Self {
        Self {
            id: hold.id,
            product_id: hold.product_id,
            quantity: hold.quantity,
            customer_id: hold.customer_id.clone(),
            amount_minor: hold.price_minor * i64::from(hold.quantity),
            currency: hold.currency,
            state: OrderState::PendingPayment,
            refund_status: RefundStatus::None,
            payment_due_at: now.plus_seconds(payment_seconds),
            created_at: now,
        }
    }

    /// Its state without the data.
    #[must_use]
    pub fn status(&self) -> OrderStatus {
        match self.state {
            OrderState::PendingPayment => OrderStatus::PendingPayment,
            OrderState::Paid { .. } => OrderStatus::Paid,
            OrderState::Cancelled { .. } => OrderStatus::Cancelled,
        }
    }

    pub(super) fn is_overdue(&self, now: Timestamp) -> bool {
        self.state == OrderState::PendingPayment && self.payment_due_at <= now
    }
}
