//! What the audit says: who changed what, and how the product's stock stood before and after.
//!
//! Every change of state leaves an entry, made where the change is made; reads and refusals leave none. Entries name
//! holds and orders by id and payments by their order: no customer and no payment id is in them. Next:
//! [`super::changes`] for the rows that they become.

use crate::command::{Action, Command};
use crate::domain::hold::Hold;
use crate::domain::order::{CancelReason, Order};
use crate::domain::payment::{PaymentState, RefundReason, RefundStatus};
use crate::domain::product::Product;
use crate::domain::state::State;
use crate::domain::stock::Stock;
use crate::id::{HoldId, ProductId, RequestId, Slot};

/// Who changed something. Stored by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum Actor {
    /// Whoever buys.
    Customer = 1,
    /// Whoever runs the sale.
    Operator = 2,
    /// A payment provider.
    PaymentProvider = 3,
    /// Holdfast, since a time had come.
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

/// What happened. Stored by number; the table `audit_kinds` has the words for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub enum AuditKind {
    /// A hold was made.
    HoldCreated = 1,
    /// It became an order.
    HoldConsumed = 2,
    /// It was given back.
    HoldReleased = 3,
    /// Its time ran out.
    HoldExpired = 4,
    /// An order was made.
    OrderCreated = 10,
    /// It was paid.
    OrderPaid = 11,
    /// It was cancelled, for its payment failed.
    OrderPaymentFailed = 12,
    /// It was cancelled, for nobody paid it in time.
    OrderPaymentTimeout = 13,
    /// It was cancelled, and its units are promised again.
    OrderReallocated = 14,
    /// A payment waits for its order.
    PaymentParked = 20,
    /// It waited for a day.
    PaymentUnmatched = 21,
    /// It paid or cancelled its order.
    PaymentApplied = 22,
    /// It changed nothing.
    PaymentIgnored = 23,
    /// It is not what the order costs: its refund is due.
    PaymentMismatch = 24,
    /// Its refund is due, for the order was cancelled.
    RefundDueOrderCancelled = 25,
    /// Its refund is due, for another paid the order.
    RefundDueAlreadyPaid = 26,
    /// Its refund is due, for the hold ended without an order.
    RefundDueHoldEnded = 27,
    /// Its refund is due once more, for the request for it got lost.
    RefundDueAgain = 28,
    /// The provider was asked for its refund.
    RefundRequested = 29,
    /// Its money is back.
    Refunded = 30,
    /// A product was put on sale.
    ProductCreated = 40,
    /// It is sold as something else.
    ProductChanged = 41,
    /// Units were added or taken back.
    ProductRestocked = 42,
    /// Its counts were mended.
    ProductRepaired = 43,
    /// A dead letter's command was applied after all.
    DeadLetterRetried = 50,
    /// A dead letter was given up.
    DeadLetterDropped = 51,
    /// The customer was taken off a hold that has ended, and off its order.
    CustomerForgotten = 60,
}

impl AuditKind {
    /// All of them, by number.
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

    /// The number that is stored as what it stands for.
    #[must_use]
    pub fn from_number(number: i16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|kind| *kind as i16 == number)
    }

    /// The word for it, in tables, documents and events.
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

    /// What became of a payment when it was applied.
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

    /// How far a refund has come.
    pub(super) fn of_refund(status: RefundStatus) -> Self {
        match status {
            RefundStatus::Requested => Self::RefundRequested,
            RefundStatus::Refunded => Self::Refunded,
            RefundStatus::Due | RefundStatus::None => Self::RefundDueAgain,
        }
    }

    /// An order that was cancelled.
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
    /// What happened.
    pub kind: AuditKind,
    /// Who had it happen.
    pub actor: Actor,
    /// By which command, when it took one that has an id of its own.
    pub request_id: Option<RequestId>,
    /// The slot that it belongs to.
    pub slot: Slot,
    /// The product, when it is known.
    pub product_id: Option<ProductId>,
    /// The hold, or the order of that id, when it is about one.
    pub subject: Option<HoldId>,
    /// Units of the hold or order, or units added; 0 when it is about none.
    pub quantity: i32,
    /// The `sequence` of the hold, or of the product's last one.
    pub sequence: i64,
    /// The product's units afterwards.
    pub stock: Stock,
    /// What the product was sold as before and after, when that is what changed.
    pub change: Option<Box<(Product, Product)>>,
}

/// A product's entries of one batch, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditGroup {
    /// The product's units before the first of them.
    pub before: Stock,
    /// The entries, at least one; all are of one slot and product.
    pub entries: Vec<AuditEntry>,
}

/// Who is at work, from the command that is being applied.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cause {
    actor: Actor,
    request_id: Option<RequestId>,
}

impl Default for Cause {
    /// Nobody asked: a time had come.
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

/// Each writes down a change that has just been made.
impl State {
    pub(super) fn audit_hold(&mut self, kind: AuditKind, hold: &Hold) {
        let entry = self.entry(kind, hold.id.slot(), Some(hold.product_id));
        let quantity = hold.quantity.cast_signed();
        self.audit.push(AuditEntry {
            subject: Some(hold.id),
            quantity,
            sequence: hold.sequence,
            ..entry
        });
    }

    pub(super) fn audit_order(&mut self, kind: AuditKind, order: &Order) {
        let entry = self.entry(kind, order.id.slot(), Some(order.product_id));
        self.audit.push(AuditEntry {
            subject: Some(order.id),
            quantity: order.quantity.cast_signed(),
            ..entry
        });
    }

    /// Of a payment of an order, or of a hold that may become one.
    pub(super) fn audit_payment(&mut self, kind: AuditKind, order_id: HoldId) {
        let product_id = self.hold(order_id).map(|hold| hold.product_id);
        let product_id = product_id.or_else(|| self.order(order_id).map(|order| order.product_id));
        let entry = self.entry(kind, order_id.slot(), product_id);
        self.audit.push(AuditEntry {
            subject: Some(order_id),
            ..entry
        });
    }

    /// Of a product, by how many units, and from what it was sold as before.
    pub(super) fn audit_product(
        &mut self,
        kind: AuditKind,
        id: ProductId,
        quantity: i64,
        before: Option<Product>,
    ) {
        let change = before.zip(self.product(id).cloned()).map(Box::new);
        let entry = self.entry(kind, id.slot(), Some(id));
        // `STOCK_MAX` fits.
        self.audit.push(AuditEntry {
            quantity: quantity as i32,
            change,
            ..entry
        });
    }

    /// Of a dead letter.
    pub(super) fn audit_letter(&mut self, kind: AuditKind, command: &Command) {
        let entry = self.entry(kind, command.slot(), self.product_of(&command.action));
        self.audit.push(AuditEntry {
            subject: command.action.named_hold(),
            ..entry
        });
    }

    /// About no more than a product. One that the batch does not know has no stock to tell.
    fn entry(&self, kind: AuditKind, slot: Slot, product_id: Option<ProductId>) -> AuditEntry {
        let product = product_id.and_then(|id| self.product(id));
        let Cause { actor, request_id } = self.cause;
        AuditEntry {
            kind,
            actor,
            request_id,
            slot,
            product_id: product.map(|product| product.id),
            subject: None,
            quantity: 0,
            sequence: product.map_or(0, |product| product.hold_sequence),
            stock: product.map(|product| product.stock).unwrap_or_default(),
            change: None,
        }
    }

    /// The entries by product, each product's in order.
    pub(super) fn take_audit(&mut self) -> Vec<AuditGroup> {
        let mut entries = std::mem::take(&mut self.audit);
        // Stable, and quick for what is in order already, as the entries of one hot product are.
        entries.sort_by_key(|entry| (entry.slot, entry.product_id));
        let mut groups: Vec<AuditGroup> = Vec::new();
        for entry in entries {
            let of = |entry: &AuditEntry| (entry.slot, entry.product_id);
            match groups.last_mut() {
                Some(group) if of(&group.entries[0]) == of(&entry) => group.entries.push(entry),
                _ => {
                    let before = entry
                        .product_id
                        .and_then(|id| self.stock_before.get(&id))
                        .copied();
                    groups.push(AuditGroup {
                        before: before.unwrap_or_default(),
                        entries: vec![entry],
                    });
                }
            }
        }
        groups
    }
}
