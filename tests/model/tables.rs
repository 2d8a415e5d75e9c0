//! The tables in memory: written from the changes of each batch, and loaded for the next batch, as a worker does.
//!
//! A row is inserted once, and updated only when it exists. [`crate::audit`] checks the transitions of rows.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;

use holdfast_common::domain::{
    Changes, Decision, Hold, HoldState, KeyScope, KeyUse, Order, OrderState, Payment, Product,
    State,
};
use holdfast_common::id::{HoldId, ProductId, RequestId};

use crate::audit;
use crate::commands::customer;

#[derive(Default)]
pub(crate) struct Tables {
    pub(crate) products: BTreeMap<ProductId, Product>,
    pub(crate) holds: BTreeMap<HoldId, Hold>,
    pub(crate) orders: BTreeMap<HoldId, Order>,
    pub(crate) payments: BTreeMap<(HoldId, String), Payment>,
    decisions: BTreeMap<RequestId, Decision>,
    keys: HashMap<KeyScope, KeyUse>,
}

impl Tables {
    /// The state at the beginning of a batch.
    pub(crate) fn load(&self) -> State {
        let mut state = State::default();
        self.products
            .values()
            .cloned()
            .for_each(|product| state.load_product(product));
        self.holds
            .values()
            .cloned()
            .for_each(|hold| state.load_hold(hold));
        self.orders
            .values()
            .cloned()
            .for_each(|order| state.load_order(order));
        let mut payments: Vec<_> = self.payments.values().cloned().collect();
        payments.sort_by_key(|payment| payment.arrival);
        payments
            .into_iter()
            .for_each(|payment| state.load_payment(payment));
        self.decisions
            .iter()
            .for_each(|(id, decision)| state.load_decision(*id, decision.clone()));
        self.keys
            .iter()
            .for_each(|(scope, first)| state.load_key(*scope, *first));
        // For products without a limit, too: a command of the batch may set one.
        for (product, customer) in self
            .products
            .keys()
            .flat_map(|id| [(*id, customer(0)), (*id, customer(1))])
        {
            let units = self.units(product, &customer);
            state.load_customer(product, customer, units);
        }
        state
    }

    /// The same sum as in the worker's query.
    fn units(&self, product_id: ProductId, customer: &str) -> i64 {
        let is_kept = |order: &Order| !matches!(order.state, OrderState::Cancelled { .. });
        let has = |hold: &&Hold| {
            hold.state == HoldState::Active || self.orders.get(&hold.id).is_some_and(is_kept)
        };
        let holds = self
            .holds
            .values()
            .filter(|hold| hold.product_id == product_id);
        let holds = holds
            .filter(|hold| hold.customer_id.as_deref() == Some(customer))
            .filter(has);
        holds.map(|hold| i64::from(hold.quantity)).sum()
    }

    pub(crate) fn write(&mut self, changes: Changes) -> Result<(), String> {
        for product in changes.changed_products.iter() {
            audit::product_may_become(self.products.get(&product.id), product)?;
        }
        for hold in changes.changed_holds.iter() {
            audit::hold_may_become(self.holds.get(&hold.id), hold)?;
        }
        for order in changes.changed_orders.iter() {
            audit::order_may_become(self.orders.get(&order.id), order)?;
        }
        insert(&mut self.products, changes.new_products, |product| {
            product.id
        })?;
        insert(&mut self.holds, changes.new_holds, |hold| hold.id)?;
        insert(&mut self.orders, changes.new_orders, |order| order.id)?;
        insert(&mut self.payments, changes.new_payments, payment_key)?;
        update(&mut self.products, changes.changed_products, |product| {
            product.id
        })?;
        update(&mut self.holds, changes.changed_holds, |hold| hold.id)?;
        update(&mut self.orders, changes.changed_orders, |order| order.id)?;
        update(&mut self.holds, changes.forgotten_holds, |hold| hold.id)?;
        update(&mut self.orders, changes.forgotten_orders, |order| order.id)?;
        update(&mut self.payments, changes.changed_payments, payment_key)?;
        for (id, decision) in changes.decisions {
            if self.decisions.insert(id, decision).is_some() {
                return Err(format!("I4: request {id} was decided twice"));
            }
        }
        // A key whose time is over can be used again, and its row is replaced.
        self.keys.extend(changes.keys);
        Ok(())
    }
}

fn payment_key(payment: &Payment) -> (HoldId, String) {
    (payment.order_id, payment.payment_id.clone())
}

fn insert<K: Ord, T: Debug + Clone>(
    table: &mut BTreeMap<K, T>,
    rows: Vec<T>,
    key: fn(&T) -> K,
) -> Result<(), String> {
    let taken = rows
        .into_iter()
        .find_map(|row| table.insert(key(&row), row));
    taken.map_or(Ok(()), |row| Err(format!("inserted twice: {row:?}")))
}

fn update<K: Ord, T: Debug>(
    table: &mut BTreeMap<K, T>,
    rows: Vec<T>,
    key: fn(&T) -> K,
) -> Result<(), String> {
    for row in rows {
        match table.get_mut(&key(&row)) {
            Some(place) => *place = row,
            None => return Err(format!("updated a missing row: {row:?}")),
        }
    }
    Ok(())
}
