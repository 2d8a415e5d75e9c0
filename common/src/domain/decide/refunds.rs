//! The progress of refunds.

use crate::domain::audit::AuditKind;
use crate::domain::payment::{Payment, PaymentState, RefundReason, RefundStatus};
use crate::domain::state::State;
use crate::id::HoldId;

/// Records the progress of a payment's refund. A requested refund may become due again, when its request was lost. A
/// refunded payment stays refunded. For an unmatched payment no refund is ever due: an operator pays it back by hand and
/// records that.
pub(super) fn advance(state: &mut State, order_id: HoldId, payment_id: &str, to: RefundStatus) {
    let payment = state
        .payments(order_id)
        .find(|payment| payment.payment_id == payment_id);
    // The command may name a payment that does not exist: its sender has not read the table.
    let Some(after) = payment.map(|payment| advanced(payment, to)) else {
        return;
    };
    let is_changed = payment.is_some_and(|payment| payment.state != after);
    if is_changed {
        state.change_payment(order_id, payment_id, |payment| payment.state = after);
        let kind = if after == PaymentState::Ignored {
            AuditKind::PaymentIgnored
        } else {
            AuditKind::of_refund(to)
        };
        state.audit_payment(kind, order_id);
    }
    update_order(state, order_id);
}

fn advanced(payment: &Payment, to: RefundStatus) -> PaymentState {
    match (payment.state, to) {
        (state, RefundStatus::None) => state,
        (PaymentState::Unmatched, RefundStatus::Refunded) if payment.succeeded => {
            PaymentState::Refund {
                status: RefundStatus::Refunded,
                reason: RefundReason::Unmatched,
            }
        }
        // A failed payment took no money.
        (PaymentState::Unmatched, RefundStatus::Refunded) => PaymentState::Ignored,
        (PaymentState::Refund { status, reason }, to) if status != RefundStatus::Refunded => {
            PaymentState::Refund { status: to, reason }
        }
        (state, _) => state,
    }
}

/// Sets an order's refund status to the greatest of its payments. There may be no order: a hold that ended without one has
/// refunds, too.
pub(super) fn update_order(state: &mut State, order_id: HoldId) {
    let status = |payment: &Payment| match payment.state {
        PaymentState::Refund { status, .. } => status,
        _ => RefundStatus::None,
    };
    let greatest = state
        .payments(order_id)
        .map(status)
        .max()
        .unwrap_or_default();
    let order = state.order(order_id);
    if order.is_some_and(|order| order.refund_status != greatest) {
        state.change_order(order_id, |order| order.refund_status = greatest);
    }
}
