//! Row types of `products`, `holds`, `orders` and `payments`, and their conversion into the types of the domain.
//!
//! Ingress and workers read these tables, and both use these types. A row that breaks an invariant is an error: no value is
//! guessed. [`super::columns`] has the columns of each type.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::{
    CancelReason, Hold, HoldState, Order, OrderState, OrderStatus, Payment, PaymentState, Product,
    RefundReason, RefundStatus, Stock,
};
use crate::encryption::{Keyring, SealError, SealedKind};
use crate::id::{HoldId, ProductId};

/// A stored row breaks an invariant.
#[derive(Debug, thiserror::Error)]
#[error("the stored {object} {id} is invalid: it breaks an invariant. Inspect and correct the row")]
pub struct InvalidRow {
    object: &'static str,
    id: String,
}

impl From<InvalidRow> for sqlx::Error {
    fn from(error: InvalidRow) -> Self {
        Self::Decode(Box::new(error))
    }
}

/// A value of a stored row can't be decrypted.
#[derive(Debug, thiserror::Error)]
#[error("the stored {object} {id} can't be decrypted: {reason}")]
pub struct SealedRow {
    object: &'static str,
    id: Uuid,
    reason: SealError,
}

impl From<SealedRow> for sqlx::Error {
    fn from(error: SealedRow) -> Self {
        Self::Decode(Box::new(error))
    }
}

#[derive(Debug, Deserialize, FromRow)]
pub struct ProductRow {
    pub product_id: i64,
    pub name: String,
    pub price_minor: i64,
    pub currency: String,
    pub total_stock: i64,
    pub available_stock: i64,
    pub held_stock: i64,
    pub sold_stock: i64,
    pub holds_count: i64,
    pub max_per_customer: Option<i32>,
    pub sale_starts_at: Option<DateTime<Utc>>,
    pub sale_ends_at: Option<DateTime<Utc>>,
    pub hold_sequence: i64,
    pub version: i64,
}

impl TryFrom<ProductRow> for Product {
    type Error = InvalidRow;

    fn try_from(row: ProductRow) -> Result<Self, InvalidRow> {
        let invalid = || InvalidRow {
            object: "product",
            id: row.product_id.to_string(),
        };
        let stock = Stock::from_stored(
            row.total_stock,
            row.available_stock,
            row.held_stock,
            row.sold_stock,
        );
        Ok(Self {
            id: ProductId(row.product_id),
            price_minor: row.price_minor,
            currency: row.currency.parse().map_err(|_| invalid())?,
            stock: stock.ok_or_else(invalid)?,
            holds_count: row.holds_count,
            max_per_customer: row
                .max_per_customer
                .map(u32::try_from)
                .transpose()
                .map_err(|_| invalid())?,
            sale_starts_at: row.sale_starts_at.map(Into::into),
            sale_ends_at: row.sale_ends_at.map(Into::into),
            hold_sequence: row.hold_sequence,
            version: row.version,
            name: row.name,
        })
    }
}

#[derive(Debug, Deserialize, FromRow)]
pub struct HoldRow {
    pub hold_id: Uuid,
    pub product_id: i64,
    pub quantity: i32,
    pub customer_id: Option<String>,
    pub price_minor: i64,
    pub currency: String,
    pub status: String,
    pub sequence: i64,
    pub created_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub ended_at: Option<DateTime<Utc>>,
}

impl HoldRow {
    /// Decrypts `customer_id`, if the row is encrypted.
    ///
    /// # Errors
    /// When no key decrypts it.
    pub fn opened(mut self, keys: &Keyring) -> Result<Self, SealedRow> {
        let customer = self
            .customer_id
            .map(|text| keys.open_text(SealedKind::CustomerId, self.hold_id, text))
            .transpose();
        self.customer_id = customer.map_err(|reason| SealedRow {
            object: "hold",
            id: self.hold_id,
            reason,
        })?;
        Ok(self)
    }
}

impl TryFrom<HoldRow> for Hold {
    type Error = InvalidRow;

    fn try_from(row: HoldRow) -> Result<Self, InvalidRow> {
        let invalid = || InvalidRow {
            object: "hold",
            id: row.hold_id.to_string(),
        };
        let state = match (row.status.as_str(), row.ended_at.map(Into::into)) {
            ("active", None) => HoldState::Active,
            ("consumed", Some(at)) => HoldState::Consumed { at },
            ("released", Some(at)) => HoldState::Released { at },
            ("expired", Some(at)) => HoldState::Expired { at },
            _ => return Err(invalid()),
        };
        Ok(Self {
            id: HoldId::from_uuid(row.hold_id).map_err(|_| invalid())?,
            product_id: ProductId(row.product_id),
            quantity: u32::try_from(row.quantity).map_err(|_| invalid())?,
            price_minor: row.price_minor,
            currency: row.currency.parse().map_err(|_| invalid())?,
            state,
            sequence: row.sequence,
            created_at: row.created_at.into(),
            expires_at: row.expires_at.into(),
            customer_id: row.customer_id,
        })
    }
}

/// The word of a hold's state, in tables and in JSON.
#[must_use]
pub fn hold_status(state: &HoldState) -> &'static str {
    match state {
        HoldState::Active => "active",
        HoldState::Consumed { .. } => "consumed",
        HoldState::Released { .. } => "released",
        HoldState::Expired { .. } => "expired",
    }
}

#[derive(Debug, Deserialize, FromRow)]
pub struct OrderRow {
    pub order_id: Uuid,
    pub product_id: i64,
    pub quantity: i32,
    pub customer_id: Option<String>,
    pub amount_minor: i64,
    pub currency: String,
    pub status: String,
    pub cancel_reason: Option<String>,
    pub payment_id: Option<String>,
    pub settled_at: Option<DateTime<Utc>>,
    pub refund_status: String,
    pub payment_due_at: DateTime<Utc>,
    pub created_at: DateTime<Utc>,
}

impl OrderRow {
    /// Decrypts `customer_id` and `payment_id`, if the row is encrypted.
    ///
    /// # Errors
    /// When no key decrypts them.
    pub fn opened(mut self, keys: &Keyring) -> Result<Self, SealedRow> {
        let id = self.order_id;
        let open = |kind, text: Option<String>| {
            text.map(|text| keys.open_text(kind, id, text)).transpose()
        };
        let sealed = |reason| SealedRow {
            object: "order",
            id,
            reason,
        };
        self.customer_id = open(SealedKind::CustomerId, self.customer_id).map_err(sealed)?;
        self.payment_id = open(SealedKind::PaymentId, self.payment_id).map_err(sealed)?;
        Ok(self)
    }
}

impl TryFrom<OrderRow> for Order {
    type Error = InvalidRow;

    fn try_from(row: OrderRow) -> Result<Self, InvalidRow> {
        let invalid = || InvalidRow {
            object: "order",
            id: row.order_id.to_string(),
        };
        let state = match (
            row.status.as_str(),
            row.cancel_reason.as_deref(),
            row.settled_at.map(Into::into),
        ) {
            ("pending_payment", None, None) => OrderState::PendingPayment,
            ("paid", None, Some(at)) => OrderState::Paid {
                payment_id: row.payment_id.ok_or_else(invalid)?,
                at,
            },
            ("cancelled", Some("payment_failed"), Some(at)) => OrderState::Cancelled {
                reason: CancelReason::PaymentFailed,
                at,
            },
            ("cancelled", Some("payment_timeout"), Some(at)) => OrderState::Cancelled {
                reason: CancelReason::PaymentTimeout,
                at,
            },
            _ => return Err(invalid()),
        };
        Ok(Self {
            id: HoldId::from_uuid(row.order_id).map_err(|_| invalid())?,
            product_id: ProductId(row.product_id),
            quantity: u32::try_from(row.quantity).map_err(|_| invalid())?,
            amount_minor: row.amount_minor,
            currency: row.currency.parse().map_err(|_| invalid())?,
            state,
            refund_status: refund_status_of(&row.refund_status).ok_or_else(invalid)?,
            payment_due_at: row.payment_due_at.into(),
            created_at: row.created_at.into(),
            customer_id: row.customer_id,
        })
    }
}

#[derive(Debug, Deserialize, FromRow)]
pub struct PaymentRow {
    pub order_id: Uuid,
    pub payment_id: String,
    pub succeeded: bool,
    pub amount_minor: Option<i64>,
    pub currency: Option<String>,
    pub state: String,
    pub refund_reason: Option<String>,
    pub arrival: i32,
    pub received_at: DateTime<Utc>,
}

impl PaymentRow {
    /// Decrypts `payment_id`, if the row is encrypted.
    ///
    /// # Errors
    /// When no key decrypts it.
    pub fn opened(mut self, keys: &Keyring) -> Result<Self, SealedRow> {
        let opened = keys.open_text(SealedKind::PaymentId, self.order_id, self.payment_id);
        self.payment_id = opened.map_err(|reason| SealedRow {
            object: "payment of order",
            id: self.order_id,
            reason,
        })?;
        Ok(self)
    }
}

impl TryFrom<PaymentRow> for Payment {
    type Error = InvalidRow;

    fn try_from(row: PaymentRow) -> Result<Self, InvalidRow> {
        // The error names the payment by its order, because a payment id is personal data and must not be logged.
        let invalid = || InvalidRow {
            object: "payment of order",
            id: row.order_id.to_string(),
        };
        let refund = |status| {
            let reason = row
                .refund_reason
                .as_deref()
                .and_then(refund_reason_of)
                .ok_or_else(invalid)?;
            Ok(PaymentState::Refund { status, reason })
        };
        let state = match row.state.as_str() {
            "parked" => PaymentState::Parked,
            "unmatched" => PaymentState::Unmatched,
            "applied" => PaymentState::Applied,
            "ignored" => PaymentState::Ignored,
            "refund_due" => refund(RefundStatus::Due)?,
            "refund_requested" => refund(RefundStatus::Requested)?,
            "refunded" => refund(RefundStatus::Refunded)?,
            _ => return Err(invalid()),
        };
        Ok(Self {
            order_id: HoldId::from_uuid(row.order_id).map_err(|_| invalid())?,
            succeeded: row.succeeded,
            amount_minor: row.amount_minor,
            currency: row
                .currency
                .as_deref()
                .map(str::parse)
                .transpose()
                .map_err(|_| invalid())?,
            state,
            arrival: row.arrival,
            received_at: row.received_at.into(),
            payment_id: row.payment_id,
        })
    }
}

/// The word of an order's status, in tables and in JSON.
#[must_use]
pub fn order_status(status: OrderStatus) -> &'static str {
    match status {
        OrderStatus::PendingPayment => "pending_payment",
        OrderStatus::Paid => "paid",
        OrderStatus::Cancelled => "cancelled",
    }
}

/// The word of the reason for a cancellation.
#[must_use]
pub fn cancel_reason(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::PaymentFailed => "payment_failed",
        CancelReason::PaymentTimeout => "payment_timeout",
    }
}

/// The word of the status of a refund.
#[must_use]
pub fn refund_status(status: RefundStatus) -> &'static str {
    match status {
        RefundStatus::None => "none",
        RefundStatus::Due => "due",
        RefundStatus::Requested => "requested",
        RefundStatus::Refunded => "refunded",
    }
}

fn refund_status_of(word: &str) -> Option<RefundStatus> {
    let all = [
        RefundStatus::None,
        RefundStatus::Due,
        RefundStatus::Requested,
        RefundStatus::Refunded,
    ];
    all.into_iter()
        .find(|status| refund_status(*status) == word)
}

/// All words of [`payment_state`].
pub const PAYMENT_STATES: &[&str] = &[
    "parked",
    "unmatched",
    "applied",
    "ignored",
    "refund_due",
    "refund_requested",
    "refunded",
];

/// The word of a payment's state.
#[must_use]
pub fn payment_state(state: &PaymentState) -> &'static str {
    match state {
        PaymentState::Parked => "parked",
        PaymentState::Unmatched => "unmatched",
        PaymentState::Applied => "applied",
        PaymentState::Ignored
        | PaymentState::Refund {
            status: RefundStatus::None,
            ..
        } => "ignored",
        PaymentState::Refund {
            status: RefundStatus::Due,
            ..
        } => "refund_due",
        PaymentState::Refund {
            status: RefundStatus::Requested,
            ..
        } => "refund_requested",
        PaymentState::Refund {
            status: RefundStatus::Refunded,
            ..
        } => "refunded",
    }
}

/// The word of the reason for a refund.
#[must_use]
pub fn refund_reason(reason: RefundReason) -> &'static str {
    match reason {
        RefundReason::OrderCancelled => "order_cancelled",
        RefundReason::Mismatch => "mismatch",
        RefundReason::AlreadyPaid => "already_paid",
        RefundReason::HoldEnded => "hold_ended",
        RefundReason::Unmatched => "unmatched",
    }
}

fn refund_reason_of(word: &str) -> Option<RefundReason> {
    RefundReason::ALL
        .into_iter()
        .find(|reason| refund_reason(*reason) == word)
}
