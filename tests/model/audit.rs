//! The invariants of ARCHITECTURE.md, checked on rows and outcomes.
//!
//! This module must not use the model: it finds a mistake that Holdfast and the model share.

use std::collections::{BTreeMap, BTreeSet};

use holdfast_common::command::{Action, Command, PaymentNotice};
use holdfast_common::domain::{
    Decision, Hold, HoldState, Order, OrderState, PaymentState, Product,
};
use holdfast_common::id::{HoldId, RequestId};
use holdfast_common::outcome::Outcome;

use crate::tables::Tables;

type Checked = Result<(), String>;

fn ensure(is_true: bool, broken: impl FnOnce() -> String) -> Checked {
    if is_true { Ok(()) } else { Err(broken()) }
}

/// A product's version rises with every change.
pub(crate) fn product_may_become(old: Option<&Product>, new: &Product) -> Checked {
    let is_newer = old.is_some_and(|old| old.version < new.version);
    ensure(is_newer, || {
        format!("the version does not rise: {old:?} -> {new:?}")
    })
}

/// I2: a hold leaves `Active` once, and nothing else of it changes.
pub(crate) fn hold_may_become(old: Option<&Hold>, new: &Hold) -> Checked {
    let is_right = old.is_some_and(|old| {
        old.state == HoldState::Active
            && Hold {
                state: old.state,
                ..new.clone()
            } == *old
            && new.state != old.state
    });
    ensure(is_right, || format!("I2: {old:?} -> {new:?}"))
}

/// I3: an order is settled once, except for a late payment that gets stock.
pub(crate) fn order_may_become(old: Option<&Order>, new: &Order) -> Checked {
    use OrderState::{Cancelled, Paid, PendingPayment};
    let is_right = old.is_some_and(|old| match (&old.state, &new.state) {
        (PendingPayment, Paid { .. } | Cancelled { .. }) | (Cancelled { .. }, Paid { .. }) => true,
        // Only the refund status has changed.
        (old, new) => old == new,
    });
    ensure(is_right, || format!("I3: {old:?} -> {new:?}"))
}

/// The decisions so far, and the payments whose success was decided.
#[derive(Default)]
pub(crate) struct Auditor {
    decisions: BTreeMap<RequestId, Decision>,
    succeeded: BTreeSet<(HoldId, String)>,
}

impl Auditor {
    /// Records a decision. I4: a request has one decision.
    pub(crate) fn record(&mut self, command: &Command, decision: &Decision) -> Checked {
        let first = self
            .decisions
            .entry(command.request_id)
            .or_insert_with(|| decision.clone());
        ensure(first == decision, || {
            format!("I4: decided {decision:?} after {first:?}")
        })?;
        if let Action::SettlePayment(PaymentNotice {
            order_id,
            payment_id,
            succeeded: true,
            ..
        }) = &command.action
            && matches!(decision.outcome, Outcome::PaymentSettled(_))
        {
            self.succeeded.insert((*order_id, payment_id.clone()));
        }
        Ok(())
    }

    /// Checks the tables after a batch.
    pub(crate) fn check(&self, tables: &Tables) -> Checked {
        tables
            .products
            .values()
            .try_for_each(|product| conservation(tables, product))?;
        tables
            .products
            .values()
            .try_for_each(|product| sequences(tables, product))?;
        self.payments(tables)
    }

    /// I8: a payment that succeeded has a row, and the row accounts for the money: the payment paid the order, is parked, is
    /// unmatched, or is refunded. An order names the payment that was applied.
    fn payments(&self, tables: &Tables) -> Checked {
        for key in &self.succeeded {
            let row = tables.payments.get(key);
            ensure(row.is_some_and(|payment| payment.succeeded), || {
                format!("I8: lost {key:?}: {row:?}")
            })?;
        }
        for (key, payment) in &tables.payments {
            let paid = tables
                .orders
                .get(&payment.order_id)
                .map(|order| &order.state);
            let has_paid = matches!(paid, Some(OrderState::Paid { payment_id, .. }) if *payment_id == payment.payment_id);
            let is_right = match payment.state {
                PaymentState::Applied => has_paid == payment.succeeded,
                PaymentState::Ignored => !payment.succeeded && !has_paid,
                PaymentState::Refund { .. } => payment.succeeded && !has_paid,
                PaymentState::Parked | PaymentState::Unmatched => paid.is_none(),
            };
            ensure(is_right, || {
                format!("I8: {key:?} is {payment:?}, its order is {paid:?}")
            })?;
        }
        Ok(())
    }
}

/// I1, and the counts agree with the holds and orders.
fn conservation(tables: &Tables, product: &Product) -> Checked {
    let stock = product.stock;
    let holds = || {
        tables
            .holds
            .values()
            .filter(|hold| hold.product_id == product.id)
    };
    let active = || holds().filter(|hold| hold.state == HoldState::Active);
    let orders = |wanted: fn(&OrderState) -> bool| {
        let orders = tables
            .orders
            .values()
            .filter(|order| order.product_id == product.id);
        orders
            .filter(|order| wanted(&order.state))
            .map(|order| i64::from(order.quantity))
            .sum::<i64>()
    };
    let held: i64 = active().map(|hold| i64::from(hold.quantity)).sum();
    let is_right = stock.available() >= 0
        && stock.total() == stock.available() + stock.held() + stock.sold()
        && stock.held() == held + orders(|state| *state == OrderState::PendingPayment)
        && stock.sold() == orders(|state| matches!(state, OrderState::Paid { .. }))
        && product.holds_count == active().count() as i64;
    ensure(is_right, || format!("I1: {product:?}"))
}

/// I6: the sequences of a product's holds are 1, 2, 3 and so on, in the order of their creation.
fn sequences(tables: &Tables, product: &Product) -> Checked {
    let mut holds: Vec<&Hold> = tables
        .holds
        .values()
        .filter(|hold| hold.product_id == product.id)
        .collect();
    holds.sort_by_key(|hold| hold.sequence);
    let is_right = holds
        .iter()
        .zip(1..)
        .all(|(hold, sequence)| hold.sequence == sequence)
        && holds.is_sorted_by_key(|hold| hold.created_at)
        && product.hold_sequence == holds.len() as i64;
    ensure(is_right, || format!("I6: {product:?}, {holds:?}"))
}
