//! Outcomes: what became of a command.
//!
//! A refusal by the business is an outcome like any other. Outcomes are stored as JSON and sent as bytes, so variants
//! and fields are only ever added at the end. Next: [`crate::messages::reply`] for the way back to the ingress that asked.

use serde::{Deserialize, Serialize};

use crate::domain::hold::Hold;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::product::{Product, StockRepair};
use crate::id::HoldId;
use crate::time::Timestamp;

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The product is on sale.
    ProductCreated(Box<ProductAsOf>),
    /// The product was restocked or changed.
    ProductChanged(Box<ProductAsOf>),
    /// The units are set aside.
    HoldCreated(Hold),
    /// The units are back on sale; also when they already were.
    HoldReleased(Hold),
    /// The business said no; nothing changed.
    Refused(Refusal),
    /// The hold became an order; a payment that came before it may have settled it already.
    OrderCreated(Box<Order>),
    /// What a payment did.
    PaymentSettled(Settlement),
    /// It could not be applied, and was set aside as a dead letter. Not final: an operator may have it tried again.
    Failed,
    /// A dead letter was tried again with success, or dropped.
    DeadLetterSettled(DeadLetterSettled),
    /// A product's counts are what its holds and orders come to; also when they already were.
    StockRepaired(Box<StockRepair>),
    /// An internal command was applied. Nobody waits for this outcome: it is neither stored nor sent.
    Internal,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterSettled {
    /// Its number.
    pub id: i64,
    /// Whether its command was applied; otherwise it was dropped.
    pub is_applied: bool,
}

/// What a payment did, and how its order stands then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// What it did.
    pub result: SettlementResult,
    /// The order, when there is one.
    pub order: Option<(HoldId, OrderStatus)>,
}

/// What a payment did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettlementResult {
    /// The order is paid or cancelled by it.
    Processed,
    /// There is no order yet: it waits for one.
    Parked,
    /// It came too late to change anything.
    Ignored,
    /// The order was cancelled, and got stock again.
    Reallocated,
    /// Nothing can be given for it: its refund is due.
    RefundDue,
    /// It is not what the order costs: its refund is due.
    Mismatch,
    /// It was told before.
    Duplicate,
}

/// A product at a time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductAsOf {
    /// The product.
    pub product: Product,
    /// When it was so, by Postgres's clock.
    pub as_of: Timestamp,
}

/// Why the business said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// There is no such product.
    ProductNotFound,
    /// Fewer units than asked for are on sale.
    InsufficientStock {
        /// Units on sale.
        available_stock: i64,
    },
    /// The sale has not begun, or has ended.
    SaleNotOpen {
        /// When it begins.
        starts_at: Option<Timestamp>,
        /// When it ends.
        ends_at: Option<Timestamp>,
    },
    /// There is no such hold.
    HoldNotFound,
    /// The hold became an order.
    HoldConsumed,
    /// The hold's time had run out.
    HoldExpired,
    /// The key was used before with another request.
    IdempotencyKeyReused,
    /// A product with this number exists already.
    ProductExists,
    /// The product would have more units than one can have.
    StockLimitExceeded,
    /// The sale would end before it begins.
    SaleWindowInvalid,
    /// The hold was given back.
    HoldReleased,
    /// The customer would have more units than one may.
    PurchaseLimitReached {
        /// The most that one customer may have.
        max_per_customer: u32,
        /// What this one has.
        units: i64,
    },
    /// There is no such dead letter, or somebody has settled it.
    DeadLetterNotFound,
}

impl Outcome {
    /// What it is called in logs and metrics; a refusal by its code.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ProductCreated(_) | Self::HoldCreated(_) | Self::OrderCreated(_) => "created",
            Self::ProductChanged(_) => "changed",
            Self::HoldReleased(_) => "released",
            Self::PaymentSettled(settlement) => settlement.result.name(),
            Self::Refused(refusal) => refusal.code(),
            Self::Failed => "failed",
            Self::DeadLetterSettled(settled) if settled.is_applied => "retried",
            Self::DeadLetterSettled(_) => "dropped",
            Self::StockRepaired(_) => "repaired",
            Self::Internal => "applied",
        }
    }
}

impl SettlementResult {
    /// Its name in answers, logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Processed => "processed",
            Self::Parked => "parked",
            Self::Ignored => "ignored",
            Self::Reallocated => "reallocated",
            Self::RefundDue => "refund_due",
            Self::Mismatch => "mismatch",
            Self::Duplicate => "duplicate",
        }
    }
}

impl Refusal {
    /// Its code in problem documents.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProductNotFound => "product_not_found",
            Self::InsufficientStock { .. } => "insufficient_stock",
            Self::SaleNotOpen { .. } => "sale_not_open",
            Self::HoldNotFound => "hold_not_found",
            Self::HoldConsumed => "hold_consumed",
            Self::HoldExpired => "hold_expired",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::ProductExists => "product_exists",
            Self::StockLimitExceeded => "stock_limit_exceeded",
            Self::SaleWindowInvalid => "invalid_request",
            Self::HoldReleased => "hold_released",
            Self::PurchaseLimitReached { .. } => "purchase_limit_reached",
            Self::DeadLetterNotFound => "dead_letter_not_found",
        }
    }
}
