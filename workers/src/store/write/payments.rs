//! Writes payments. None is ever removed.

use chrono::DateTime;
use holdfast_common::domain::{Payment, PaymentState};
use holdfast_common::rows::{payment_state, refund_reason};
use sqlx::PgConnection;

use super::{column, expect_rows};

pub(super) async fn insert(connection: &mut PgConnection, rows: &[Payment]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "INSERT INTO payments (slot, order_id, payment_id, succeeded, amount_minor, currency, state, refund_reason,
             arrival, received_at)
         SELECT slot, order_id, payment_id, succeeded, amount_minor, currency, state::payment_state,
             refund_reason::refund_reason, arrival, received_at
         FROM UNNEST($1::smallint[], $2::uuid[], $3::text[], $4::boolean[], $5::bigint[], $6::text[], $7::text[],
             $8::text[], $9::integer[], $10::timestamptz[])
             AS new (slot, order_id, payment_id, succeeded, amount_minor, currency, state, refund_reason, arrival,
                 received_at)",
    )
    .bind(column(rows, |payment| payment.order_id.slot().as_i16()))
    .bind(column(rows, |payment| payment.order_id.uuid()))
    .bind(column(rows, |payment| payment.payment_id.as_str()))
    .bind(column(rows, |payment| payment.succeeded))
    .bind(column(rows, |payment| payment.amount_minor))
    .bind(column(rows, |payment| payment.currency.map(|currency| currency.code())))
    .bind(column(rows, |payment| payment_state(&payment.state)))
    .bind(column(rows, owed_for))
    .bind(column(rows, |payment| payment.arrival))
    .bind(column(rows, |payment| DateTime::from(payment.received_at)))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "payments")
}

pub(super) async fn update(connection: &mut PgConnection, rows: &[Payment]) -> sqlx::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let result = sqlx::query(
        "UPDATE payments SET succeeded = new.succeeded, amount_minor = new.amount_minor, currency = new.currency,
             state = new.state::payment_state, refund_reason = new.refund_reason::refund_reason
         FROM UNNEST($1::smallint[], $2::uuid[], $3::text[], $4::boolean[], $5::bigint[], $6::text[], $7::text[],
             $8::text[]) AS new (slot, order_id, payment_id, succeeded, amount_minor, currency, state, refund_reason)
         WHERE payments.slot = new.slot AND payments.order_id = new.order_id AND payments.payment_id = new.payment_id
             AND (new.succeeded OR NOT payments.succeeded)",
    )
    .bind(column(rows, |payment| payment.order_id.slot().as_i16()))
    .bind(column(rows, |payment| payment.order_id.uuid()))
    .bind(column(rows, |payment| payment.payment_id.as_str()))
    .bind(column(rows, |payment| payment.succeeded))
    .bind(column(rows, |payment| payment.amount_minor))
    .bind(column(rows, |payment| payment.currency.map(|currency| currency.code())))
    .bind(column(rows, |payment| payment_state(&payment.state)))
    .bind(column(rows, owed_for))
    .execute(connection)
    .await?;
    expect_rows(&result, rows.len(), "payments")
}

fn owed_for(payment: &Payment) -> Option<&'static str> {
    match payment.state {
        PaymentState::Refund { reason, .. } => Some(refund_reason(reason)),
        PaymentState::Parked | PaymentState::Unmatched | PaymentState::Applied | PaymentState::Ignored => None,
    }
}
