//! Writes payments. They are never removed.

use chrono::DateTime;
use holdfast_common::domain::{Payment, PaymentState};
use holdfast_common::encryption::{Keyring, SealedKind};
use holdfast_common::store::rows::{payment_state, refund_reason};

use crate::store::write::statement::{Statement, StatementPart};

pub(super) fn insert(write: &mut Statement, keys: &Keyring, rows: &[Payment]) {
    settled(write, keys, rows)
        .sealed("payment_sealed", keys, |payment| {
            (
                SealedKind::PaymentId,
                payment.order_id,
                Some(&payment.payment_id),
            )
        })
        .column("arrival", "integer", |payment| payment.arrival)
        .column("received_at", "timestamptz", |payment| {
            DateTime::from(payment.received_at)
        })
        .insert();
}

pub(super) fn update(write: &mut Statement, keys: &Keyring, rows: &[Payment]) {
    // I8: a success never becomes a failure.
    settled(write, keys, rows).update_where("(new.succeeded OR NOT payments.succeeded)");
}

/// The columns of a payment that change.
fn settled<'s, 'r>(
    write: &'s mut Statement,
    keys: &Keyring,
    rows: &'r [Payment],
) -> StatementPart<'s, 'r, Payment> {
    write
        .rows("payments", rows)
        .key("slot", "smallint", |payment| {
            payment.order_id.slot().as_i16()
        })
        .key("order_id", "uuid", |payment| payment.order_id.uuid())
        .key("payment_id", "text", |payment| {
            keys.index(SealedKind::PaymentId, &payment.payment_id)
        })
        .column("succeeded", "boolean", |payment| payment.succeeded)
        .column("amount_minor", "bigint", |payment| payment.amount_minor)
        .column("currency", "text", |payment| {
            payment.currency.map(|currency| currency.code())
        })
        .column("state", "payment_state", |payment| {
            payment_state(&payment.state)
        })
        .column("refund_reason", "refund_reason", owed_for)
}

fn owed_for(payment: &Payment) -> Option<&'static str> {
    match payment.state {
        PaymentState::Refund { reason, .. } => Some(refund_reason(reason)),
        PaymentState::Parked
        | PaymentState::Unmatched
        | PaymentState::Applied
        | PaymentState::Ignored => None,
    }
}
