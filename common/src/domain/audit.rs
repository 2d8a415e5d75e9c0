//! The audit: one entry for each change of state, with its actor and the product's stock after it.
//!
//! Reads and refusals leave no entry. Entries name holds and orders by id, and payments by their order's id. They contain
//! no customer id and no payment id. Next: [`super::state::audit`] adds the entries.

use crate::command::{Action, Command};
use crate::domain::order::CancelReason;
use crate::domain::payment::{PaymentState, RefundReason, RefundStatus};
use crate::domain::product::Product;
use crate::domain::stock::Stock;
use crate::id::{HoldId, ProductId, RequestId, Slot};

/// The actor of a change. Stored by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Actor {
    Customer = 1,
    Operator = 2,
    PaymentProvider = 3,
    /// A timer of Holdfast.
    Holdfast = 4,
}

impl Actor {
    pub(super) fn of(action: &Action) -> Self {
        match action {
            Action::CreateHold { .. } | Action::ReleaseHold { .. } | Action::CreateOrder { .. } => {
                Self::Customer
            }
            Action::SettlePayment(_) => Self::PaymentProvider,
            Action::ExpireDue
            | Action::AdvanceRefund {
                to: RefundStatus::Requested,
                ..
            } => Self::Holdfast,
            Action::CreateProduct(_)
            | Action::ChangeProduct { .. }
            | Action::Restock { .. }
            | Action::AdvanceRefund { .. }
            | Action::SettleDeadLetter { .. }
            | Action::RepairStock { .. }
            | Action::ForgetCustomer { .. } => Self::Operator,
        }
    }
}

/// The kind of a change. Stored by number; the table `audit_kinds` has the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum AuditKind {
    HoldCreated = 1,
    HoldConsumed = 2,
    HoldReleased = 3,
    HoldExpired = 4,
    OrderCreated = 10,
    OrderPaid = 11,
    OrderPaymentFailed = 12,
    OrderPaymentTimeout = 13,
    /// A cancelled order got stock again, for a late payment.
    OrderReallocated = 14,
    PaymentParked = 20,
    PaymentUnmatched = 21,
    /// The payment paid or cancelled its order.
    PaymentApplied = 22,
    PaymentIgnored = 23,
    /// The amount or the currency differs from the order's. The refund is due.
    PaymentMismatch = 24,
    RefundDueOrderCancelled = 25,
    RefundDueAlreadyPaid = 26,
    RefundDueHoldEnded = 27,
    /// The refund is due again: an operator reported the request for it as lost.
    RefundDueAgain = 28,
    /// The shop accepted the refund request.
    RefundRequested = 29,
    /// The money is back.
    Refunded = 30,
    ProductCreated = 40,
    ProductChanged = 41,
    ProductRestocked = 42,
    /// The product's counts were corrected.
    ProductRepaired = 43,
    DeadLetterRetried = 50,
    DeadLetterDropped = 51,
    /// The customer id was removed from an ended hold and its order.
    CustomerForgotten = 60,
}

impl AuditKind {
    /// All kinds, by number.
    pub const ALL: &[Self] = &[
        Self::HoldCreated,
        Self::HoldConsumed,
        Self::HoldReleased,
        Self::HoldExpired,
        Self::OrderCreated,
        Self::OrderPaid,
        Self::OrderPaymentFailed,
        Self::OrderPaymentTimeout,
        Self::OrderReallocated,
        Self::PaymentParked,
        Self::PaymentUnmatched,
        Self::PaymentApplied,
        Self::PaymentIgnored,
        Self::PaymentMismatch,
        Self::RefundDueOrderCancelled,
        Self::RefundDueAlreadyPaid,
        Self::RefundDueHoldEnded,
        Self::RefundDueAgain,
        Self::RefundRequested,
        Self::Refunded,
        Self::ProductCreated,
        Self::ProductChanged,
        Self::ProductRestocked,
        Self::ProductRepaired,
        Self::DeadLetterRetried,
        Self::DeadLetterDropped,
        Self::CustomerForgotten,
    ];

    /// Reads a stored number.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| *kind as i16 == number)
    }

    /// The name in tables, documents and events.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::HoldCreated => "hold.created",
            Self::HoldConsumed => "hold.consumed",
            Self::HoldReleased => "hold.released",
            Self::HoldExpired => "hold.expired",
            Self::OrderCreated => "order.created",
            Self::OrderPaid => "order.paid",
            Self::OrderPaymentFailed | Self::OrderPaymentTimeout => "order.cancelled",
            Self::OrderReallocated => "order.reallocated",
            Self::PaymentParked => "payment.parked",
            Self::PaymentUnmatched => "payment.unmatched",
            Self::PaymentApplied => "payment.applied",
            Self::PaymentIgnored => "payment.ignored",
            Self::PaymentMismatch => "payment.mismatch",
            Self::RefundDueOrderCancelled
            | Self::RefundDueAlreadyPaid
            | Self::RefundDueHoldEnded
            | Self::RefundDueAgain => "payment.refund_due",
            Self::RefundRequested => "payment.refund_requested",
            Self::Refunded => "payment.refunded",
            Self::ProductCreated => "product.created",
            Self::ProductChanged => "product.changed",
            Self::ProductRestocked => "product.restocked",
            Self::ProductRepaired => "product.repaired",
            Self::DeadLetterRetried => "dead_letter.retried",
            Self::DeadLetterDropped => "dead_letter.dropped",
            Self::CustomerForgotten => "customer.forgotten",
        }
    }

    /// The kind for the new state of a payment.
    pub(super) fn of_payment(state: PaymentState) -> Self {
        match state {
            PaymentState::Parked => Self::PaymentParked,
            PaymentState::Unmatched => Self::PaymentUnmatched,
            PaymentState::Applied => Self::PaymentApplied,
            PaymentState::Ignored => Self::PaymentIgnored,
            PaymentState::Refund { reason, .. } => match reason {
                RefundReason::Mismatch => Self::PaymentMismatch,
                RefundReason::OrderCancelled => Self::RefundDueOrderCancelled,
                RefundReason::AlreadyPaid => Self::RefundDueAlreadyPaid,
                RefundReason::HoldEnded => Self::RefundDueHoldEnded,
                RefundReason::Unmatched => Self::Refunded,
            },
        }
    }

    /// The kind for the new status of a refund.
    pub(super) fn of_refund(status: RefundStatus) -> Self {
        match status {
            RefundStatus::Requested => Self::RefundRequested,
            RefundStatus::Refunded => Self::Refunded,
            RefundStatus::Due | RefundStatus::None => Self::RefundDueAgain,
        }
    }

    pub(super) fn of_cancelled(reason: CancelReason) -> Self {
        match reason {
            CancelReason::PaymentFailed => Self::OrderPaymentFailed,
            CancelReason::PaymentTimeout => Self::OrderPaymentTimeout,
        }
    }
}

/// One change of state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub kind: AuditKind,
    pub actor: Actor,
    /// The command, unless it is internal.
    pub request_id: Option<RequestId>,
    pub slot: Slot,
    /// The product, when it is known.
    pub product_id: Option<ProductId>,
    /// The id of the hold, or of its order.
    pub subject: Option<HoldId>,
    /// Units of the hold or order, or units added; otherwise 0.
    pub quantity: i32,
    /// The `sequence` of the hold; otherwise that of the product's last hold.
    pub sequence: i64,
    /// The product's stock after the change.
    pub stock: Stock,
    /// For [`AuditKind::ProductChanged`], the product before and after.
    pub change: Option<Box<(Product, Product)>>,
}

/// A product's entries of one batch, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditGroup {
    /// The product's stock before the first entry.
    pub before: Stock,
    /// At least one entry; all have the same slot and product.
    pub entries: Vec<AuditEntry>,
}

/// The actor and the command behind the changes that follow.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    pub(super) actor: Actor,
    pub(super) request_id: Option<RequestId>,
}

impl Default for Cause {
    /// No command: a time has passed.
    fn default() -> Self {
        Self {
            actor: Actor::Holdfast,
            request_id: None,
        }
    }
}

impl Cause {
    pub(super) fn of(command: &Command) -> Self {
        let request_id = (!command.action.is_internal()).then_some(command.request_id);
        Self {
            actor: Actor::of(&command.action),
            request_id,
        }
    }
}
