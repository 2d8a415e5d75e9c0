//! Payments: what becomes of each, in whatever order they and their orders come.
//!
//! A payment that succeeded is never dropped (I8), and a paid order never becomes anything else (I3). What cannot be
//! given for a payment is owed back.

use crate::command::PaymentNotice;
use crate::domain::audit::AuditKind;
use crate::domain::decide::Policy;
use crate::domain::order::{CancelReason, Order, OrderState};
use crate::domain::payment::{Payment, PaymentState, RefundReason, RefundStatus};
use crate::domain::state::State;
use crate::id::HoldId;
use crate::outcome::{Settlement, SettlementResult};
use crate::time::Timestamp;

/// Takes what a provider says about a payment.
pub(super) fn settle(
    state: &mut State,
    notice: &PaymentNotice,
    now: Timestamp,
    policy: &Policy,
) -> Settlement {
    let order_id = notice.order_id;
    let result = match known(state, notice) {
        Some(payment) if payment.succeeded == notice.succeeded => SettlementResult::Duplicate,
        // It succeeded before: a late failure takes nothing back.
        Some(payment) if payment.succeeded => SettlementResult::Ignored,
        known => {
            let is_known = known.is_some();
            note(state, notice, now, is_known);
            apply(state, order_id, &notice.payment_id, now, policy)
        }
    };
    settlement(state, order_id, result)
}

/// How an order stands after what a payment did.
fn settlement(state: &State, order_id: HoldId, result: SettlementResult) -> Settlement {
    Settlement {
        result,
        order: state
            .order(order_id)
            .map(|order| (order.id, order.status())),
    }
}

fn known<'a>(state: &'a State, notice: &PaymentNotice) -> Option<&'a Payment> {
    state
        .payments(notice.order_id)
        .find(|payment| payment.payment_id == notice.payment_id)
}

/// Writes the payment down, parked until [`apply`] finds something better for it.
fn note(state: &mut State, notice: &PaymentNotice, now: Timestamp, is_known: bool) {
    let PaymentNotice {
        order_id,
        payment_id,
        succeeded,
        amount_minor,
        currency,
    } = notice.clone();
    if is_known {
        state.change_payment(order_id, &payment_id, |payment| {
            (payment.succeeded, payment.amount_minor, payment.currency) =
                (succeeded, amount_minor, currency);
            payment.state = PaymentState::Parked;
        });
        return;
    }
    let last = state
        .payments(order_id)
        .map(|payment| payment.arrival)
        .max()
        .unwrap_or(0);
    state.insert_payment(Payment {
        order_id,
        payment_id,
        succeeded,
        amount_minor,
        currency,
        state: PaymentState::Parked,
        arrival: last + 1,
        received_at: now,
    });
}

/// Applies every payment that came before its order, in the order of their arrival.
pub(super) fn apply_parked(state: &mut State, order_id: HoldId, now: Timestamp, policy: &Policy) {
    for payment_id in parked(state, order_id) {
        apply(state, order_id, &payment_id, now, policy);
    }
    // One that nothing matched may have been paid back before there was an order.
    recount_refunds(state, order_id);
}

/// Owes back every payment that waited for an order of a hold that has ended without one.
pub(super) fn refund_parked(state: &mut State, hold_id: HoldId) {
    for payment_id in parked(state, hold_id) {
        let mut became = PaymentState::Ignored;
        state.change_payment(hold_id, &payment_id, |payment| {
            if payment.succeeded {
                became = refund(RefundReason::HoldEnded);
            }
            payment.state = became;
        });
        state.audit_payment(AuditKind::of_payment(became), hold_id);
    }
}

fn parked(state: &State, order_id: HoldId) -> Vec<String> {
    let waits = |payment: &&Payment| {
        matches!(
            payment.state,
            PaymentState::Parked | PaymentState::Unmatched
        )
    };
    state
        .payments(order_id)
        .filter(waits)
        .map(|payment| payment.payment_id.clone())
        .collect()
}

fn apply(
    state: &mut State,
    order_id: HoldId,
    payment_id: &str,
    now: Timestamp,
    policy: &Policy,
) -> SettlementResult {
    let Some(payment) = state
        .payments(order_id)
        .find(|payment| payment.payment_id == payment_id)
        .cloned()
    else {
        return SettlementResult::Ignored;
    };
    let Some(order) = state.order(order_id).cloned() else {
        return without_order(state, &payment);
    };
    let (result, settled) = if payment.succeeded && !is_what_it_costs(&payment, &order) {
        (SettlementResult::Mismatch, refund(RefundReason::Mismatch))
    } else {
        by_state(state, &order, &payment, now, policy)
    };
    state.change_payment(order_id, payment_id, |payment| payment.state = settled);
    state.audit_payment(AuditKind::of_payment(settled), order_id);
    recount_refunds(state, order_id);
    result
}

/// No order: it waits for one, unless its hold has ended and there will never be one.
fn without_order(state: &mut State, payment: &Payment) -> SettlementResult {
    let has_ended = state
        .hold(payment.order_id)
        .is_some_and(super::Hold::has_ended);
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

fn refund(reason: RefundReason) -> PaymentState {
    PaymentState::Refund {
        status: RefundStatus::Due,
        reason,
    }
}

fn is_what_it_costs(payment: &Payment, order: &Order) -> bool {
    payment
        .amount_minor
        .is_none_or(|amount| amount == order.amount_minor)
        && payment
            .currency
            .is_none_or(|currency| currency == order.currency)
}

fn by_state(
    state: &mut State,
    order: &Order,
    payment: &Payment,
    now: Timestamp,
    policy: &Policy,
) -> (SettlementResult, PaymentState) {
    match (&order.state, payment.succeeded) {
        (OrderState::PendingPayment, true) => {
            pay(state, order, &payment.payment_id, now);
            (SettlementResult::Processed, PaymentState::Applied)
        }
        (OrderState::PendingPayment, false) => {
            cancel(state, order, CancelReason::PaymentFailed, now);
            (SettlementResult::Processed, PaymentState::Applied)
        }
        (OrderState::Cancelled { .. }, true) => {
            if policy.reallocate_late_payments && reallocate(state, order) {
                pay(state, order, &payment.payment_id, now);
                (SettlementResult::Reallocated, PaymentState::Applied)
            } else {
                (
                    SettlementResult::RefundDue,
                    refund(RefundReason::OrderCancelled),
                )
            }
        }
        (OrderState::Paid { .. }, true) => (
            SettlementResult::RefundDue,
            refund(RefundReason::AlreadyPaid),
        ),
        (OrderState::Paid { .. } | OrderState::Cancelled { .. }, false) => {
            (SettlementResult::Ignored, PaymentState::Ignored)
        }
    }
}

/// Sells an order's promised units.
fn pay(state: &mut State, order: &Order, payment_id: &str, now: Timestamp) {
    let paid = OrderState::Paid {
        payment_id: payment_id.to_owned(),
        at: now,
    };
    state.change_order(order.id, |order| order.state = paid);
    state.change_product(order.product_id, |product| {
        product.stock = product.stock.sell(order.quantity)
    });
    state.audit_order(AuditKind::OrderPaid, order);
}

/// Puts an unpaid order's units back on sale.
pub(super) fn cancel(state: &mut State, order: &Order, reason: CancelReason, now: Timestamp) {
    state.change_order(order.id, |order| {
        order.state = OrderState::Cancelled { reason, at: now }
    });
    state.change_product(order.product_id, |product| {
        product.stock = product.stock.release(order.quantity)
    });
    state.count_customer(
        order.product_id,
        order.customer_id.as_ref(),
        -i64::from(order.quantity),
    );
    state.audit_order(AuditKind::of_cancelled(reason), order);
}

/// Promises a cancelled order's units once more; says whether there were enough.
fn reallocate(state: &mut State, order: &Order) -> bool {
    let stock = state
        .product(order.product_id)
        .and_then(|product| product.stock.hold(order.quantity));
    let Some(stock) = stock else { return false };
    state.change_product(order.product_id, |product| product.stock = stock);
    state.count_customer(
        order.product_id,
        order.customer_id.as_ref(),
        order.quantity.into(),
    );
    state.audit_order(AuditKind::OrderReallocated, order);
    true
}

/// Notes how far a payment's refund has come. A request that got lost may be due again; what is refunded stays so. A
/// payment that nothing matched is never due: it ends when an operator says that its money is back.
pub(super) fn advance_refund(
    state: &mut State,
    order_id: HoldId,
    payment_id: &str,
    to: RefundStatus,
) {
    let mut became = None;
    state.change_payment(order_id, payment_id, |payment| {
        let before = payment.state;
        payment.state = advanced(payment, to);
        became = (payment.state != before).then_some(payment.state);
    });
    if let Some(became) = became {
        let kind = if became == PaymentState::Ignored {
            AuditKind::PaymentIgnored
        } else {
            AuditKind::of_refund(to)
        };
        state.audit_payment(kind, order_id);
    }
    recount_refunds(state, order_id);
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
        // Nothing is owed for a failure.
        (PaymentState::Unmatched, RefundStatus::Refunded) => PaymentState::Ignored,
        (PaymentState::Refund { status, reason }, to) if status != RefundStatus::Refunded => {
            PaymentState::Refund { status: to, reason }
        }
        (state, _) => state,
    }
}

fn recount_refunds(state: &mut State, order_id: HoldId) {
    let status = |payment: &Payment| match payment.state {
        PaymentState::Refund { status, .. } => status,
        _ => RefundStatus::None,
    };
    let furthest_behind = state
        .payments(order_id)
        .map(status)
        .max()
        .unwrap_or_default();
    if state
        .order(order_id)
        .is_some_and(|order| order.refund_status != furthest_behind)
    {
        state.change_order(order_id, |order| order.refund_status = furthest_behind);
    }
}
