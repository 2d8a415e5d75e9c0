//! Outcomes: the results of commands.
//!
//! A refusal by the business (sold out) is an outcome like any other. Outcomes are stored as JSON and sent in postcard, so new
//! variants and fields go to the end only. Next: [`crate::messages::reply`] returns outcomes to the ingress.

use serde::{Deserialize, Serialize};

use crate::domain::hold::Hold;
use crate::domain::order::{Order, OrderStatus};
use crate::domain::product::{Product, StockRepair};
use crate::id::HoldId;
use crate::time::Timestamp;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    ProductCreated(Box<ProductAsOf>),
    /// The product was changed or restocked.
    ProductChanged(Box<ProductAsOf>),
    HoldCreated(Hold),
    /// The hold is released, by this command or before.
    HoldReleased(Hold),
    /// The command broke a rule of the business. Nothing changed.
    Refused(Refusal),
    /// The order of a hold. A payment that came before may have paid or cancelled it already.
    OrderCreated(Box<Order>),
    PaymentSettled(Settlement),
    /// The command could not be applied and is a dead letter. Not final: an operator may retry it.
    Failed,
    DeadLetterSettled(DeadLetterSettled),
    /// A product's counts agree with its holds and orders, by this command or before.
    StockRepaired(Box<StockRepair>),
    /// An internal command was applied. Nobody waits for this outcome: it is neither stored nor sent.
    Internal,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetterSettled {
    /// The number of the dead letter.
    pub id: i64,
    /// Whether the command was applied; otherwise the dead letter was dropped.
    pub is_applied: bool,
}

/// The effect of a payment notice, and the order after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub result: SettlementResult,
    pub order: Option<(HoldId, OrderStatus)>,
}

/// The effect of a payment notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SettlementResult {
    /// The payment paid or cancelled the order.
    Processed,
    /// The payment waits for its order.
    Parked,
    /// The notice came too late to change anything.
    Ignored,
    /// The order was cancelled. It got stock again, and is paid.
    Reallocated,
    /// The payment can't buy units: its refund is due.
    RefundDue,
    /// The amount or currency differs from the order's: the refund is due.
    Mismatch,
    /// An earlier notice had the same payment id and status.
    Duplicate,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductAsOf {
    pub product: Product,
    /// The time of this state, by Postgres's clock.
    pub as_of: Timestamp,
}

/// The rule that a command broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    ProductNotFound,
    InsufficientStock {
        /// Units that are available now.
        available_stock: i64,
    },
    /// The sale has not started, or has ended.
    SaleNotOpen {
        starts_at: Option<Timestamp>,
        ends_at: Option<Timestamp>,
    },
    HoldNotFound,
    HoldConsumed,
    HoldExpired,
    /// The key was used with another request.
    IdempotencyKeyReused,
    ProductExists,
    /// The product would have more than [`STOCK_MAX`](crate::command::STOCK_MAX) units.
    StockLimitExceeded,
    /// The sale would end before it starts.
    SaleWindowInvalid,
    HoldReleased,
    PurchaseLimitReached {
        max_per_customer: u32,
        /// Units of this customer now.
        units: i64,
    },
    /// The dead letter does not exist, or is settled.
    DeadLetterNotFound,
}

impl Outcome {
    /// The name in logs and metrics. A refusal has its code.
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
    /// The name in responses, logs and metrics.
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
    /// The code in problem documents.
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
