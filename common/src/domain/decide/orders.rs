//! Changes of an order together with its stock: pay, pay late, cancel.
//!
//! Callers match the order's state first, so a refused transition is a bug and panics.

use crate::domain::audit::AuditKind;
use crate::domain::order::{CancelReason, Order};
use crate::domain::state::State;
use crate::time::Timestamp;

/// Sells the held units of a pending order.
pub(super) fn pay(state: &mut State, order: &Order, payment_id: &str, now: Timestamp) {
    #[expect(clippy::expect_used)]
    state
        .transition_order(order.id, |order| order.pay(payment_id, now))
        .expect("only pending orders are paid");
    sell_units(state, order);
}

/// Sells units to a cancelled order, for a late payment. Returns whether enough units were available.
pub(super) fn pay_late(state: &mut State, order: &Order, payment_id: &str, now: Timestamp) -> bool {
    let product = state.product(order.product_id);
    let Some(stock) = product.and_then(|product| product.stock.hold(order.quantity)) else {
        return false;
    };
    state.change_product(order.product_id, |product| product.stock = stock);
    state.count_customer(
        order.product_id,
        order.customer_id.as_ref(),
        order.quantity.into(),
    );
    state.audit_order(AuditKind::OrderReallocated, order);
    #[expect(clippy::expect_used)]
    state
        .transition_order(order.id, |order| order.pay_late(payment_id, now))
        .expect("only cancelled orders are paid late");
    sell_units(state, order);
    true
}

fn sell_units(state: &mut State, order: &Order) {
    state.change_product(order.product_id, |product| {
        product.stock = product.stock.sell(order.quantity);
    });
    state.audit_order(AuditKind::OrderPaid, order);
}

/// Cancels a pending order, and puts its units back on sale.
pub(super) fn cancel(state: &mut State, order: &Order, reason: CancelReason, now: Timestamp) {
    #[expect(clippy::expect_used)]
    state
        .transition_order(order.id, |order| order.cancel(reason, now))
        .expect("only pending orders are cancelled");
    state.change_product(order.product_id, |product| {
        product.stock = product.stock.release(order.quantity);
    });
    state.count_customer(
        order.product_id,
        order.customer_id.as_ref(),
        -i64::from(order.quantity),
    );
    state.audit_order(AuditKind::of_cancelled(reason), order);
}
