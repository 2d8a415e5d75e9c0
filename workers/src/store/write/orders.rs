//! Writes orders.

use chrono::{DateTime, Utc};
use holdfast_common::domain::{Order, OrderState};
use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::store::rows::{cancel_reason, order_status, refund_status};

use crate::store::write::statement::{Statement, StatementPart, index};

pub(super) fn insert(write: &mut Statement, keys: &Keyring, rows: &[Order]) {
    write
        .rows("orders", rows)
        .key("slot", "smallint", |order| order.id.slot().as_i16())
        .key("order_id", "uuid", |order| order.id.uuid())
        .column("product_id", "bigint", |order| order.product_id.0)
        .column("quantity", "integer", |order| order.quantity.cast_signed())
        .column("customer_id", "text", |order| {
            index(keys, SealedKind::CustomerId, order.customer_id.as_deref())
        })
        .sealed("customer_sealed", keys, |order| {
            (
                SealedKind::CustomerId,
                order.id,
                order.customer_id.as_deref(),
            )
        })
        .column("amount_minor", "bigint", |order| order.amount_minor)
        .column("currency", "text", |order| order.currency.code())
        .column("status", "order_status", |order| {
            order_status(order.status())
        })
        .column("cancel_reason", "cancel_reason", cancelled_for)
        .column("payment_id", "text", |order| {
            index(keys, SealedKind::PaymentId, paid_by(order))
        })
        .sealed("payment_sealed", keys, |order| {
            (SealedKind::PaymentId, order.id, paid_by(order))
        })
        .column("settled_at", "timestamptz", settled_at)
        .column("refund_status", "refund_status", |order| {
            refund_status(order.refund_status)
        })
        .column("payment_due_at", "timestamptz", |order| {
            DateTime::from(order.payment_due_at)
        })
        .column("created_at", "timestamptz", |order| {
            DateTime::from(order.created_at)
        })
        .insert();
}

/// I3: a paid order stays paid. Only its refund status changes.
const NEVER_UNPAID: &str =
    "(orders.status <> 'paid' OR (new.status = 'paid' AND orders.payment_id = new.payment_id))";

pub(super) fn update(write: &mut Statement, keys: &Keyring, rows: &[Order]) {
    changed(write, keys, rows).update_where(NEVER_UNPAID);
}

/// Orders that lose their customer. They may also have changed in other columns in the same batch.
pub(super) fn forget(write: &mut Statement, keys: &Keyring, rows: &[Order]) {
    changed(write, keys, rows)
        .column("customer_id", "text", |_| None::<&str>)
        .column("customer_sealed", "text", |_| None::<&str>)
        .update_where(NEVER_UNPAID);
}

fn changed<'s, 'r>(
    write: &'s mut Statement,
    keys: &Keyring,
    rows: &'r [Order],
) -> StatementPart<'s, 'r, Order> {
    write
        .rows("orders", rows)
        .key("slot", "smallint", |order| order.id.slot().as_i16())
        .key("order_id", "uuid", |order| order.id.uuid())
        .column("status", "order_status", |order| {
            order_status(order.status())
        })
        .column("cancel_reason", "cancel_reason", cancelled_for)
        .column("payment_id", "text", |order| {
            index(keys, SealedKind::PaymentId, paid_by(order))
        })
        .sealed("payment_sealed", keys, |order| {
            (SealedKind::PaymentId, order.id, paid_by(order))
        })
        .column("settled_at", "timestamptz", settled_at)
        .column("refund_status", "refund_status", |order| {
            refund_status(order.refund_status)
        })
}

fn cancelled_for(order: &Order) -> Option<&'static str> {
    match order.state {
        OrderState::Cancelled { reason, .. } => Some(cancel_reason(reason)),
        OrderState::PendingPayment | OrderState::Paid { .. } => None,
    }
}

fn paid_by(order: &Order) -> Option<&str> {
    match &order.state {
        OrderState::Paid { payment_id, .. } => Some(payment_id),
        OrderState::PendingPayment | OrderState::Cancelled { .. } => None,
    }
}

fn settled_at(order: &Order) -> Option<DateTime<Utc>> {
    match order.state {
        OrderState::PendingPayment => None,
        OrderState::Paid { at, .. } | OrderState::Cancelled { at, .. } => Some(at.into()),
    }
}
