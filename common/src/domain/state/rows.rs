//! Inserts and changes of the rows of a batch.
//!
//! A change to a row that is not loaded panics. It would be lost otherwise, and stock would no longer match holds and
//! orders. Inserting a row that is loaded panics for the same reason.

use std::collections::HashMap;
use std::fmt::Display;
use std::hash::Hash;

use crate::command::Command;
use crate::domain::decision::Decision;
use crate::domain::hold::{Hold, HoldTransitionError};
use crate::domain::key::{KeyScope, KeyUse};
use crate::domain::order::{Order, OrderTransitionError};
use crate::domain::payment::{Payment, PaymentState};
use crate::domain::product::{Product, Recount};
use crate::domain::state::{Row, State};
use crate::id::{HoldId, ProductId, RequestId};
use crate::outcome::Outcome;
use crate::time::Timestamp;

impl State {
    pub(in crate::domain) fn insert_product(&mut self, product: Product) {
        insert("product", &mut self.products, product.id, product);
    }

    /// Changes a product, and raises its version.
    pub(in crate::domain) fn change_product(
        &mut self,
        id: ProductId,
        change: impl FnOnce(&mut Product),
    ) {
        let row = loaded("product", &mut self.products, id);
        change(&mut row.value);
        row.value.version += 1;
        row.is_changed = true;
    }

    pub(in crate::domain) fn insert_hold(&mut self, hold: Hold) {
        insert("hold", &mut self.holds, hold.id, hold);
    }

    /// Moves a hold to another state, and returns it. After an error the hold is unchanged.
    pub(in crate::domain) fn transition_hold(
        &mut self,
        id: HoldId,
        transition: impl FnOnce(&mut Hold) -> Result<(), HoldTransitionError>,
    ) -> Result<Hold, HoldTransitionError> {
        let row = loaded("hold", &mut self.holds, id);
        transition(&mut row.value)?;
        row.is_changed = true;
        Ok(row.value.clone())
    }

    pub(in crate::domain) fn insert_order(&mut self, order: Order) {
        insert("order", &mut self.orders, order.id, order);
    }

    pub(in crate::domain) fn change_order(&mut self, id: HoldId, change: impl FnOnce(&mut Order)) {
        let row = loaded("order", &mut self.orders, id);
        change(&mut row.value);
        row.is_changed = true;
    }

    /// Moves an order to another state. After an error the order is unchanged.
    pub(in crate::domain) fn transition_order(
        &mut self,
        id: HoldId,
        transition: impl FnOnce(&mut Order) -> Result<(), OrderTransitionError>,
    ) -> Result<(), OrderTransitionError> {
        let row = loaded("order", &mut self.orders, id);
        transition(&mut row.value)?;
        row.is_changed = true;
        Ok(())
    }

    pub(in crate::domain) fn insert_payment(&mut self, payment: Payment) {
        let rows = self.payments.entry(payment.order_id).or_default();
        assert!(
            rows.iter()
                .all(|row| row.value.payment_id != payment.payment_id),
            "payment of order {} is loaded already",
            payment.order_id
        );
        rows.push(Row::new(payment));
    }

    pub(in crate::domain) fn change_payment(
        &mut self,
        order_id: HoldId,
        payment_id: &str,
        change: impl FnOnce(&mut Payment),
    ) {
        let mut rows = self.payments.get_mut(&order_id).into_iter().flatten();
        let row = rows.find(|row| row.value.payment_id == payment_id);
        // The message must not contain the payment id: it goes to the log.
        let Some(row) = row else {
            panic!("payment of order {order_id} is not loaded")
        };
        change(&mut row.value);
        row.is_changed = true;
    }

    /// Makes payments unmatched that were parked at this time or before. Returns their orders' ids.
    pub(in crate::domain) fn unmatch_parked_before(&mut self, time: Timestamp) -> Vec<HoldId> {
        let mut unmatched = Vec::new();
        for row in self.payments.values_mut().flatten() {
            let payment = &mut row.value;
            if payment.state == PaymentState::Parked && payment.received_at <= time {
                payment.state = PaymentState::Unmatched;
                row.is_changed = true;
                unmatched.push(row.value.order_id);
            }
        }
        unmatched
    }

    /// Removes the customer from a hold, and from its order if there is one.
    pub(in crate::domain) fn forget_customer(&mut self, id: HoldId) {
        let hold = loaded("hold", &mut self.holds, id);
        hold.value.customer_id = None;
        hold.is_changed = true;
        if let Some(order) = self.orders.get_mut(&id) {
            order.value.customer_id = None;
            order.is_changed = true;
        }
        self.forgotten.insert(id);
    }

    /// Adds units to a customer's count. Without a customer, or when the count is not loaded, there is nothing to count:
    /// only products with a limit have counts.
    pub(in crate::domain) fn count_customer(
        &mut self,
        product_id: ProductId,
        customer_id: Option<&String>,
        units: i64,
    ) {
        let Some(customer_id) = customer_id.filter(|_| !self.customers.is_empty()) else {
            return;
        };
        if let Some(count) = self.customers.get_mut(&(product_id, customer_id.clone())) {
            *count += units;
        }
    }

    /// Removes a dead letter from the state, so that it is settled once.
    pub(in crate::domain) fn take_dead_letter(&mut self, id: i64) -> Option<Command> {
        self.dead_letters.remove(&id)
    }

    /// Removes the drift of a product from the state, so that it is corrected once. `None` when there is none.
    pub(in crate::domain) fn take_drift(&mut self, product_id: ProductId) -> Option<Recount> {
        let drift = self.drifts.remove(&product_id);
        drift.filter(|drift| *drift != Recount::default())
    }

    /// Records the decision of a command. A created hold needs no record: the hold has the id of its command.
    pub(in crate::domain) fn record(&mut self, request_id: RequestId, decision: &Decision) {
        let is_stored_as_hold = matches!(&decision.outcome, Outcome::HoldCreated(hold) if hold.id.request() == request_id);
        if !is_stored_as_hold {
            self.decisions.insert(request_id, decision.clone());
            self.new_decisions.push(request_id);
        }
    }

    /// Records the first use of a key.
    pub(in crate::domain) fn record_key(&mut self, scope: KeyScope, first: KeyUse) {
        self.keys.insert(scope, first);
        self.new_keys.push(scope);
    }
}

fn loaded<'r, K: Hash + Eq + Display, T>(
    table: &str,
    rows: &'r mut HashMap<K, Row<T>>,
    id: K,
) -> &'r mut Row<T> {
    rows.get_mut(&id)
        .unwrap_or_else(|| panic!("{table} {id} is not loaded"))
}

fn insert<K: Copy + Hash + Eq + Display, T>(
    table: &str,
    rows: &mut HashMap<K, Row<T>>,
    id: K,
    value: T,
) {
    let replaced = rows.insert(id, Row::new(value));
    assert!(replaced.is_none(), "{table} {id} is loaded already");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::order::CancelReason;

    const PRODUCT: ProductId = ProductId(1);

    fn hold_id() -> HoldId {
        HoldId::new(PRODUCT.slot(), 0, 1)
    }

    #[test]
    #[should_panic(expected = "product 1 is not loaded")]
    fn change_of_missing_product_panics() {
        State::default().change_product(PRODUCT, |product| product.holds_count += 1);
    }

    #[test]
    #[should_panic(expected = "hold 00000000-0000-8cc1-8000-000000000001 is not loaded")]
    fn transition_of_missing_hold_panics() {
        let _ = State::default().transition_hold(hold_id(), |hold| hold.release(Timestamp(1)));
    }

    #[test]
    #[should_panic(expected = "order 00000000-0000-8cc1-8000-000000000001 is not loaded")]
    fn transition_of_missing_order_panics() {
        let cancel = |order: &mut Order| order.cancel(CancelReason::PaymentFailed, Timestamp(1));
        let _ = State::default().transition_order(hold_id(), cancel);
    }

    #[test]
    #[should_panic(
        expected = "payment of order 00000000-0000-8cc1-8000-000000000001 is not loaded"
    )]
    fn change_of_missing_payment_panics() {
        State::default().change_payment(hold_id(), "pay_1", |payment| payment.succeeded = true);
    }
}
