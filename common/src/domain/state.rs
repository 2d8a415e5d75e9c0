//! The state of a batch: the rows that its commands name, and their changes so far.
//!
//! Only the worker's load step adds rows from the tables. A row that is not loaded does not exist for the commands. A
//! change to a row that is not loaded is a bug and panics (see [`rows`]); the batch cycle treats the panic as poison, and
//! nothing of it is written. Next: [`changes`].

mod audit;
pub(super) mod changes;
mod rows;

use std::collections::{HashMap, HashSet};

use crate::command::{Action, Command, Endpoint};
use crate::domain::audit::{AuditEntry, Cause};
use crate::domain::decision::Decision;
use crate::domain::hold::Hold;
use crate::domain::key::{KeyScope, KeyUse};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::product::{Counts, Product, Recount};
use crate::domain::stock::Stock;
use crate::id::{HoldId, ProductId, RequestId, Slot};
use crate::outcome::{DeadLetterSettled, Outcome};

/// A row, and its difference from the table.
#[derive(Clone, Debug)]
pub(super) struct Row<T> {
    pub(super) value: T,
    is_new: bool,
    is_changed: bool,
}

impl<T> Row<T> {
    fn loaded(value: T) -> Self {
        Self {
            value,
            is_new: false,
            is_changed: false,
        }
    }

    fn new(value: T) -> Self {
        Self {
            value,
            is_new: true,
            is_changed: true,
        }
    }
}

/// The rows of a batch.
#[derive(Clone, Debug, Default)]
pub struct State {
    products: HashMap<ProductId, Row<Product>>,
    pub(super) holds: HashMap<HoldId, Row<Hold>>,
    pub(super) orders: HashMap<HoldId, Row<Order>>,
    pub(super) payments: HashMap<HoldId, Vec<Row<Payment>>>,
    /// Units of customers, only for products with a limit.
    customers: HashMap<(ProductId, String), i64>,
    pub(super) keys: HashMap<KeyScope, KeyUse>,
    new_keys: Vec<KeyScope>,
    decisions: HashMap<RequestId, Decision>,
    new_decisions: Vec<RequestId>,
    dead_letters: HashMap<i64, Command>,
    /// The drift of products that a command repairs.
    drifts: HashMap<ProductId, Recount>,
    pub(super) settled_dead_letters: Vec<(Slot, DeadLetterSettled)>,
    /// Holds whose customer was removed from them and from their orders.
    forgotten: HashSet<HoldId>,
    /// The cause of the audit entries that follow.
    pub(super) cause: Cause,
    audit: Vec<AuditEntry>,
    /// Each loaded product's stock before the batch.
    stock_before: HashMap<ProductId, Stock>,
}

/// Adds rows from the tables.
impl State {
    pub fn load_product(&mut self, product: Product) {
        self.stock_before.insert(product.id, product.stock);
        self.products.insert(product.id, Row::loaded(product));
    }

    pub fn load_hold(&mut self, hold: Hold) {
        self.holds.insert(hold.id, Row::loaded(hold));
    }

    pub fn load_order(&mut self, order: Order) {
        self.orders.insert(order.id, Row::loaded(order));
    }

    /// Adds a payment unless it is loaded already. Callers add an order's payments by `arrival`.
    pub fn load_payment(&mut self, payment: Payment) {
        let payments = self.payments.entry(payment.order_id).or_default();
        if payments
            .iter()
            .all(|row| row.value.payment_id != payment.payment_id)
        {
            payments.push(Row::loaded(payment));
        }
    }

    /// Adds the units of a product that a customer has in active holds and in orders that are not cancelled.
    pub fn load_customer(&mut self, product_id: ProductId, customer_id: String, units: i64) {
        self.customers.insert((product_id, customer_id), units);
    }

    /// Adds the decision of an earlier command.
    pub fn load_decision(&mut self, request_id: RequestId, decision: Decision) {
        self.decisions.insert(request_id, decision);
    }

    /// Adds a dead letter that is not settled, with its command.
    pub fn load_dead_letter(&mut self, id: i64, command: Command) {
        self.dead_letters.insert(id, command);
    }

    /// Adds the sums over a product's holds and orders, from the same snapshot as the loaded product.
    pub fn load_recount(&mut self, product_id: ProductId, counted: Recount) {
        if let Some(product) = self.product(product_id) {
            // The batch changes counts and rows alike, so the difference stays right until the repair.
            let drift = counted.minus(&Counts::of(product));
            self.drifts.insert(product_id, drift);
        }
    }

    /// Adds the first use of an idempotency key.
    pub fn load_key(&mut self, scope: KeyScope, first: KeyUse) {
        self.keys.insert(scope, first);
    }
}

/// Reads.
impl State {
    #[must_use]
    pub fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get(&id).map(|row| &row.value)
    }

    pub(super) fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id).map(|row| &row.value)
    }

    pub(super) fn order(&self, id: HoldId) -> Option<&Order> {
        self.orders.get(&id).map(|row| &row.value)
    }

    /// The payments of an order, or of a hold that may become one, by arrival.
    pub(super) fn payments(&self, order_id: HoldId) -> impl Iterator<Item = &Payment> {
        self.payments
            .get(&order_id)
            .into_iter()
            .flatten()
            .map(|row| &row.value)
    }

    /// Whether the batch has created or changed a hold.
    pub(super) fn has_changed(&self, id: HoldId) -> bool {
        self.holds.get(&id).is_some_and(|row| row.is_changed)
    }

    /// A customer's units of a product; 0 when they are not loaded.
    pub(super) fn customer_units(&self, product_id: ProductId, customer_id: &str) -> i64 {
        self.customers
            .get(&(product_id, customer_id.to_owned()))
            .copied()
            .unwrap_or(0)
    }

    /// The decision of a command that was applied before. A created hold is stored as the hold itself.
    pub(super) fn decision(&self, request_id: RequestId) -> Option<Decision> {
        match self.hold(HoldId::of_request(request_id)) {
            Some(hold) => Some(Decision {
                replayed: false,
                outcome: Outcome::HoldCreated(hold.as_created()),
            }),
            // A failed command had no effect, and may be tried again.
            None => self
                .decisions
                .get(&request_id)
                .filter(|decision| decision.outcome != Outcome::Failed)
                .cloned(),
        }
    }

    /// The product of an action: the one that the action names, or that of the hold that the action names.
    #[must_use]
    pub fn product_of(&self, action: &Action) -> Option<ProductId> {
        let of_hold = || self.hold(action.named_hold()?).map(|hold| hold.product_id);
        action.named_product().or_else(of_hold)
    }

    /// The scope of a command's key. The key of a webhook has the slot as its scope, not the product: a webhook may arrive
    /// before the hold that names the product.
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
}
