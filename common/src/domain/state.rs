//! What a batch of commands knows: the rows that it names, and what it has made of them so far.
//!
//! Filled by the worker's load step and by nothing later. Whatever a command names and is not in here does not exist.
//! Next: [`super::changes`].

use std::collections::{HashMap, HashSet};

use crate::command::{Action, Command, Endpoint};
use crate::domain::audit::{AuditEntry, Cause};
use crate::domain::decide::Decision;
use crate::domain::hold::Hold;
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::product::Product;
use crate::domain::repair::{Counts, Recount};
use crate::domain::stock::Stock;
use crate::id::{HoldId, ProductId, RequestId, Slot};
use crate::outcome::{DeadLetterSettled, Outcome};
use crate::time::Timestamp;

/// Where an idempotency key counts: one endpoint and one product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KeyScope {
    /// The product's slot.
    pub slot: Slot,
    /// The endpoint it was sent to.
    pub endpoint: Endpoint,
    /// The hash of the key.
    pub hash: [u8; 16],
    /// The product; 0 when the request named something that belongs to none.
    pub product_id: ProductId,
}

/// The first use of an idempotency key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The request that used it first; its outcome is replayed.
    pub request_id: RequestId,
    /// The hash of that request.
    pub fingerprint: [u8; 16],
    /// When.
    pub used_at: Timestamp,
}

/// A row, and how it differs from the table.
#[derive(Clone, Debug)]
pub(super) struct Row<T> {
    pub(super) value: T,
    pub(super) is_new: bool,
    pub(super) is_changed: bool,
}

/// What a batch of commands knows.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub(super) products: HashMap<ProductId, Row<Product>>,
    pub(super) holds: HashMap<HoldId, Row<Hold>>,
    pub(super) orders: HashMap<HoldId, Row<Order>>,
    pub(super) payments: HashMap<HoldId, Vec<Row<Payment>>>,
    customers: HashMap<(ProductId, String), i64>,
    pub(super) keys: HashMap<KeyScope, KeyUse>,
    pub(super) new_keys: Vec<KeyScope>,
    decisions: HashMap<RequestId, Decision>,
    pub(super) new_decisions: Vec<RequestId>,
    dead_letters: HashMap<i64, Command>,
    recounts: HashMap<ProductId, Recount>,
    pub(super) settled_letters: Vec<(Slot, DeadLetterSettled)>,
    /// Holds that lost their customer, and so did their orders.
    pub(super) forgotten: HashSet<HoldId>,
    pub(super) cause: Cause,
    pub(super) audit: Vec<AuditEntry>,
    /// Each loaded product's units before the batch.
    pub(super) stock_before: HashMap<ProductId, Stock>,
}

impl State {
    /// Adds a product of the table.
    pub fn load_product(&mut self, product: Product) {
        self.stock_before.insert(product.id, product.stock);
        self.products.insert(
            product.id,
            Row {
                value: product,
                is_new: false,
                is_changed: false,
            },
        );
    }

    /// Adds a hold of the table.
    pub fn load_hold(&mut self, hold: Hold) {
        self.holds.insert(
            hold.id,
            Row {
                value: hold,
                is_new: false,
                is_changed: false,
            },
        );
    }

    /// Adds an order of the table.
    pub fn load_order(&mut self, order: Order) {
        self.orders.insert(
            order.id,
            Row {
                value: order,
                is_new: false,
                is_changed: false,
            },
        );
    }

    /// Adds a payment of the table, if it is not here yet. An order's payments come in the order of their arrival.
    pub fn load_payment(&mut self, payment: Payment) {
        let payments = self.payments.entry(payment.order_id).or_default();
        if payments
            .iter()
            .all(|row| row.value.payment_id != payment.payment_id)
        {
            payments.push(Row {
                value: payment,
                is_new: false,
                is_changed: false,
            });
        }
    }

    /// Adds how many units of a product a customer has in active holds and in orders that are not cancelled.
    pub fn load_customer(&mut self, product_id: ProductId, customer_id: String, units: i64) {
        self.customers.insert((product_id, customer_id), units);
    }

    /// A product that was loaded.
    #[must_use]
    pub fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get(&id).map(|row| &row.value)
    }

    /// Adds what became of an earlier command.
    pub fn load_decision(&mut self, request_id: RequestId, decision: Decision) {
        self.decisions.insert(request_id, decision);
    }

    /// Adds a dead letter that nobody has settled, with its command.
    pub fn load_dead_letter(&mut self, id: i64, command: Command) {
        self.dead_letters.insert(id, command);
    }

    /// Adds what the units of a product that was loaded come to, as its holds and orders say at the same time.
    pub fn load_recount(&mut self, product_id: ProductId, counted: Recount) {
        if let Some(product) = self.product(product_id) {
            // From here on the batch changes both alike, so what lies between them stays.
            let off_by = counted.minus(&Counts::of(product));
            self.recounts.insert(product_id, off_by);
        }
    }

    /// Adds the first use of an idempotency key.
    pub fn load_key(&mut self, scope: KeyScope, first: KeyUse) {
        self.keys.insert(scope, first);
    }

    pub(super) fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id).map(|row| &row.value)
    }

    pub(super) fn insert_product(&mut self, product: Product) {
        self.products.insert(
            product.id,
            Row {
                value: product,
                is_new: true,
                is_changed: true,
            },
        );
    }

    pub(super) fn insert_hold(&mut self, hold: Hold) {
        self.holds.insert(
            hold.id,
            Row {
                value: hold,
                is_new: true,
                is_changed: true,
            },
        );
    }

    /// Changes a product that is there, and raises its version.
    pub(super) fn change_product(&mut self, id: ProductId, change: impl FnOnce(&mut Product)) {
        if let Some(row) = self.products.get_mut(&id) {
            change(&mut row.value);
            row.value.version += 1;
            row.is_changed = true;
        }
    }

    /// Changes a hold that is there.
    pub(super) fn change_hold(&mut self, id: HoldId, change: impl FnOnce(&mut Hold)) {
        if let Some(row) = self.holds.get_mut(&id) {
            change(&mut row.value);
            row.is_changed = true;
        }
    }

    /// Whether the batch has made or changed a hold.
    pub(super) fn has_changed(&self, id: HoldId) -> bool {
        self.holds.get(&id).is_some_and(|row| row.is_changed)
    }

    /// Takes the customer off a hold that is there, and off its order.
    pub(super) fn forget(&mut self, id: HoldId) {
        self.change_hold(id, |hold| hold.customer_id = None);
        self.change_order(id, |order| order.customer_id = None);
        self.forgotten.insert(id);
    }

    pub(super) fn order(&self, id: HoldId) -> Option<&Order> {
        self.orders.get(&id).map(|row| &row.value)
    }

    pub(super) fn insert_order(&mut self, order: Order) {
        self.orders.insert(
            order.id,
            Row {
                value: order,
                is_new: true,
                is_changed: true,
            },
        );
    }

    /// Changes an order that is there.
    pub(super) fn change_order(&mut self, id: HoldId, change: impl FnOnce(&mut Order)) {
        if let Some(row) = self.orders.get_mut(&id) {
            change(&mut row.value);
            row.is_changed = true;
        }
    }

    /// The payments of an order, or of a hold that may become one, in the order of their arrival.
    pub(super) fn payments(&self, order_id: HoldId) -> impl Iterator<Item = &Payment> {
        self.payments
            .get(&order_id)
            .into_iter()
            .flatten()
            .map(|row| &row.value)
    }

    pub(super) fn insert_payment(&mut self, payment: Payment) {
        let row = Row {
            value: payment,
            is_new: true,
            is_changed: true,
        };
        self.payments
            .entry(row.value.order_id)
            .or_default()
            .push(row);
    }

    /// Changes a payment that is there.
    pub(super) fn change_payment(
        &mut self,
        order_id: HoldId,
        payment_id: &str,
        change: impl FnOnce(&mut Payment),
    ) {
        let rows = self.payments.get_mut(&order_id).into_iter().flatten();
        if let Some(row) = rows
            .into_iter()
            .find(|row| row.value.payment_id == payment_id)
        {
            change(&mut row.value);
            row.is_changed = true;
        }
    }

    /// How many units of a product a customer has; 0 where nobody counts.
    pub(super) fn customer_units(&self, product_id: ProductId, customer_id: &str) -> i64 {
        self.customers
            .get(&(product_id, customer_id.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    /// Counts units that a customer gets or gives back, where somebody counts.
    pub(super) fn count_customer(
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

    /// What became of a command, if it was applied before. A hold that was made is its own outcome.
    pub(super) fn decision(&self, request_id: RequestId) -> Option<Decision> {
        match self.hold(HoldId::of_request(request_id)) {
            Some(hold) => Some(Decision {
                replayed: false,
                outcome: Outcome::HoldCreated(hold.as_created()),
            }),
            // One that failed had no effect, and may be tried again.
            None => self
                .decisions
                .get(&request_id)
                .filter(|decision| decision.outcome != Outcome::Failed)
                .cloned(),
        }
    }

    /// Takes a dead letter out, to be settled once.
    pub(super) fn take_dead_letter(&mut self, id: i64) -> Option<Command> {
        self.dead_letters.remove(&id)
    }

    /// Takes out by how much a product's counts are off, to be mended once.
    pub(super) fn take_recount(&mut self, product_id: ProductId) -> Option<Recount> {
        self.recounts.remove(&product_id)
    }

    /// Remembers what became of a command.
    pub(super) fn record(&mut self, request_id: RequestId, decision: &Decision) {
        let is_stored_as_hold = matches!(&decision.outcome, Outcome::HoldCreated(hold) if hold.id.request() == request_id);
        if !is_stored_as_hold {
            self.decisions.insert(request_id, decision.clone());
            self.new_decisions.push(request_id);
        }
    }

    /// Remembers the first use of a key.
    pub(super) fn record_key(&mut self, scope: KeyScope, first: KeyUse) {
        self.keys.insert(scope, first);
        self.new_keys.push(scope);
    }

    /// The product that an action is about, named by itself or by its hold.
    #[must_use]
    pub fn product_of(&self, action: &Action) -> Option<ProductId> {
        let of_hold = || self.hold(action.named_hold()?).map(|hold| hold.product_id);
        action.named_product().or_else(of_hold)
    }

    /// Where a command's key counts, when it has one. A webhook's counts for all products of its slot: it may come before
    /// what tells the product.
    pub(super) fn key_scope(&self, command: &Command) -> Option<KeyScope> {
        let key = command.key?;
        let endpoint = command.action.endpoint()?;
        let product_id = match endpoint {
            Endpoint::SettlePayment => None,
            _ => self.product_of(&command.action),
        };
        Some(KeyScope {
            slot: command.slot(),
            endpoint,
            hash: key.hash,
            product_id: product_id.unwrap_or(ProductId(0)),
        })
    }

    pub(super) fn take_decision(&mut self, request_id: RequestId) -> Option<Decision> {
        self.decisions.remove(&request_id)
    }
}
