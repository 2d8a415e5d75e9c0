//! Writes orders.

use chrono::{DateTime, Utc};
use holdfast_common::domain::{Order, OrderState};
use holdfast_common::rows::{cancel_reason, order_status, refund_status};
use sqlx::PgConnection;

use super::{column, expect_rows};

pub(super) async fn insert(connection: &mut PgConnection, rows: &[Order]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "INSERT INTO orders (slot, order_id, product_id, quantity, customer_id, amount_minor, currency, status,
             cancel_reason, payment_id, settled_at, refund_status, payment_due_at, created_at)
         SELECT slot, order_id, product_id, quantity, customer_id, amount_minor, currency, status::order_status,
             cancel_reason::cancel_reason, payment_id, settled_at, refund_status::refund_status, payment_due_at, created_at
         FROM UNNEST($1::smallint[], $2::uuid[], $3::bigint[], $4::integer[], $5::text[], $6::bigint[], $7::text[],
             $8::text[], $9::text[], $10::text[], $11::timestamptz[], $12::text[], $13::timestamptz[], $14::timestamptz[])
             AS new (slot, order_id, product_id, quantity, customer_id, amount_minor, currency, status, cancel_reason,
                 payment_id, settled_at, refund_status, payment_due_at, created_at)",
    )
    .bind(column(rows, |order| order.id.slot().as_i16()))
    .bind(column(rows, |order| order.id.uuid()))
    .bind(column(rows, |order| order.product_id.0))
    .bind(column(rows, |order| order.quantity.cast_signed()))
    .bind(column(rows, |order| order.customer_id.as_deref()))
    .bind(column(rows, |order| order.amount_minor))
    .bind(column(rows, |order| order.currency.code()))
    .bind(column(rows, |order| order_status(order.status())))
    .bind(column(rows, cancelled_for))
    .bind(column(rows, paid_by))
    .bind(column(rows, settled_at))
    .bind(column(rows, |order| refund_status(order.refund_status)))
    .bind(column(rows, |order| DateTime::from(order.payment_due_at)))
    .bind(column(rows, |order| DateTime::from(order.created_at)))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "orders")
}

pub(super) async fn update(connection: &mut PgConnection, rows: &[Order]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    // I3: what is paid stays paid. A paid order changes only in how far its refunds have come.
    let result = sqlx::query(
        "UPDATE orders SET status = new.status::order_status, cancel_reason = new.cancel_reason::cancel_reason,
             payment_id = new.payment_id, settled_at = new.settled_at, refund_status = new.refund_status::refund_status
         FROM UNNEST($1::smallint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])
             AS new (slot, order_id, status, cancel_reason, payment_id, settled_at, refund_status)
         WHERE orders.slot = new.slot AND orders.order_id = new.order_id
             AND (orders.status <> 'paid' OR (new.status = 'paid' AND orders.payment_id = new.payment_id))",
    )
    .bind(column(rows, |order| order.id.slot().as_i16()))
    .bind(column(rows, |order| order.id.uuid()))
    .bind(column(rows, |order| order_status(order.status())))
    .bind(column(rows, cancelled_for))
    .bind(column(rows, paid_by))
    .bind(column(rows, settled_at))
    .bind(column(rows, |order| refund_status(order.refund_status)))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "orders")
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
