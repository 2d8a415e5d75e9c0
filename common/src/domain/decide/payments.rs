//! Decisions about payments, in whatever order payments, holds and orders arrive.
//!
//! A payment that succeeded is never dropped (I8), and a paid order stays paid (I3). A payment that can't buy units is
//! refunded. Next: [`super::refunds`].

use crate::command::PaymentNotice;
use crate::domain::audit::AuditKind;
use crate::domain::decide::{orders, refunds};
use crate::domain::hold::Hold;
use crate::domain::order::{CancelReason, Order, OrderState};
use crate::domain::payment::{Payment, PaymentState, RefundReason, RefundStatus};
use crate::domain::policy::Policy;
use crate::domain::state::State;
use crate::id::HoldId;
use crate::outcome::{Settlement, SettlementResult};
use crate::time::Timestamp;

/// Applies the notice of a provider.
pub(super) fn settle(
    state: &mut State,
    notice: &PaymentNotice,
    now: Timestamp,
    policy: &Policy,
) -> Settlement {
    let order_id = notice.order_id;
    let result = match find(state, order_id, &notice.payment_id) {
        Some(payment) if payment.succeeded == notice.succeeded => SettlementResult::Duplicate,
        // A failure after the success of the same payment takes nothing back.
        Some(payment) if payment.succeeded => SettlementResult::Ignored,
        Some(_) => {
            replace(state, notice);
            apply(state, order_id, &notice.payment_id, now, policy)
        }
        None => {
            insert(state, notice, now);
            apply(state, order_id, &notice.payment_id, now, policy)
        }
    };
    let order = state.order(order_id);
    Settlement {
        result,
        order: order.map(|order| (order.id, order.status())),
    }
}

fn find<'s>(state: &'s State, order_id: HoldId, payment_id: &str) -> Option<&'s Payment> {
    state
        .payments(order_id)
        .find(|payment| payment.payment_id == payment_id)
}

/// Records a success after the failure of the same payment. The payment is parked until [`apply`] finds its final state.
fn replace(state: &mut State, notice: &PaymentNotice) {
    state.change_payment(notice.order_id, &notice.payment_id, |payment| {
        payment.succeeded = notice.succeeded;
        payment.amount_minor = notice.amount_minor;
        payment.currency = notice.currency;
        payment.state = PaymentState::Parked;
    });
}

/// Records a new payment. It is parked until [`apply`] finds its final state.
fn insert(state: &mut State, notice: &PaymentNotice, now: Timestamp) {
    let arrivals = state
        .payments(notice.order_id)
        .map(|payment| payment.arrival);
    let arrival = arrivals.max().unwrap_or(0) + 1;
    state.insert_payment(Payment {
        order_id: notice.order_id,
        payment_id: notice.payment_id.clone(),
        succeeded: notice.succeeded,
        amount_minor: notice.amount_minor,
        currency: notice.currency,
        state: PaymentState::Parked,
        arrival,
        received_at: now,
    });
}

/// Applies the payments that arrived before their order, by arrival.
pub(super) fn apply_parked(state: &mut State, order_id: HoldId, now: Timestamp, policy: &Policy) {
    for payment_id in parked(state, order_id) {
        apply(state, order_id, &payment_id, now, policy);
    }
    // An unmatched payment may have been paid back before there was an order.
    refunds::update_order(state, order_id);
}

/// Makes the refunds of the parked payments of a hold due, after the hold has ended without an order.
pub(super) fn refund_parked(state: &mut State, hold_id: HoldId) {
    for payment_id in parked(state, hold_id) {
        let mut after = PaymentState::Ignored;
        state.change_payment(hold_id, &payment_id, |payment| {
            if payment.succeeded {
                after = refund_due(RefundReason::HoldEnded);
            }
            payment.state = after;
        });
        state.audit_payment(AuditKind::of_payment(after), hold_id);
    }
}

fn parked(state: &State, order_id: HoldId) -> Vec<String> {
    let is_parked = |payment: &&Payment| {
        matches!(
            payment.state,
            PaymentState::Parked | PaymentState::Unmatched
        )
    };
    state
        .payments(order_id)
        .filter(is_parked)
        .map(|payment| payment.payment_id.clone())
        .collect()
}

/// Applies a recorded payment to its order, if there is one.
fn apply(
    state: &mut State,
    order_id: HoldId,
    payment_id: &str,
    now: Timestamp,
    policy: &Policy,
) -> SettlementResult {
    #[expect(clippy::expect_used)]
    let payment = find(state, order_id, payment_id)
        .expect("the payment was recorded before")
        .clone();
    let Some(order) = state.order(order_id).cloned() else {
        return apply_without_order(state, &payment);
    };
    let (result, after) = if payment.succeeded && !matches_price(&payment, &order) {
        (
            SettlementResult::Mismatch,
            refund_due(RefundReason::Mismatch),
        )
    } else {
        apply_to_order(state, &order, &payment, now, policy)
    };
    state.change_payment(order_id, payment_id, |payment| payment.state = after);
    state.audit_payment(AuditKind::of_payment(after), order_id);
    refunds::update_order(state, order_id);
    result
}

/// Parks a payment without an order. After the hold has ended, no order can come, and a success is refunded.
fn apply_without_order(state: &mut State, payment: &Payment) -> SettlementResult {
    let has_ended = state.hold(payment.order_id).is_some_and(Hold::has_ended);
    if !has_ended {
        state.audit_payment(AuditKind::PaymentParked, payment.order_id);
        return SettlementResult::Parked;
    }
    refund_parked(state, payment.order_id);
    if payment.succeeded {
        SettlementResult::RefundDue
    } else {
        SettlementResult::Ignored
    }
}

fn refund_due(reason: RefundReason) -> PaymentState {
    PaymentState::Refund {
        status: RefundStatus::Due,
        reason,
    }
}

fn matches_price(payment: &Payment, order: &Order) -> bool {
    payment
        .amount_minor
        .is_none_or(|amount| amount == order.amount_minor)
        && payment
            .currency
            .is_none_or(|currency| currency == order.currency)
}

fn apply_to_order(
    state: &mut State,
    order: &Order,
    payment: &Payment,
    now: Timestamp,
    policy: &Policy,
) -> (SettlementResult, PaymentState) {
    match (&order.state, payment.succeeded) {
        (OrderState::PendingPayment, true) => {
            orders::pay(state, order, &payment.payment_id, now);
            (SettlementResult::Processed, PaymentState::Applied)
        }
        (OrderState::PendingPayment, false) => {
            orders::cancel(state, order, CancelReason::PaymentFailed, now);
            (SettlementResult::Processed, PaymentState::Applied)
        }
        (OrderState::Cancelled { .. }, true) => {
            if policy.reallocate_late_payments
                && orders::pay_late(state, order, &payment.payment_id, now)
            {
                (SettlementResult::Reallocated, PaymentState::Applied)
            } else {
                (
                    SettlementResult::RefundDue,
                    refund_due(RefundReason::OrderCancelled),
                )
            }
        }
        (OrderState::Paid { .. }, true) => (
            SettlementResult::RefundDue,
            refund_due(RefundReason::AlreadyPaid),
        ),
        (OrderState::Paid { .. } | OrderState::Cancelled { .. }, false) => {
            (SettlementResult::Ignored, PaymentState::Ignored)
        }
    }
}
