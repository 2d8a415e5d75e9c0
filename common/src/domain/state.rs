//! What a batch of commands knows: the rows that it names, and what it has made of them so far.
//!
//! Filled by the worker's load step and by nothing later. Whatever a command names and is not in here does not exist.
//! Next: [`super::changes`].

use std::collections::HashMap;

use super::decide::Decision;
use super::hold::Hold;
use super::product::Product;
use crate::command::{Command, Endpoint};
use crate::id::{HoldId, ProductId, RequestId, Slot};
use crate::outcome::Outcome;
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
    pub(super) keys: HashMap<KeyScope, KeyUse>,
    pub(super) new_keys: Vec<KeyScope>,
    decisions: HashMap<RequestId, Decision>,
    pub(super) new_decisions: Vec<RequestId>,
}

impl State {
    /// Adds a product of the table.
    pub fn load_product(&mut self, product: Product) {
        self.products.insert(product.id, Row { value: product, is_new: false, is_changed: false });
    }

    /// Adds a hold of the table.
    pub fn load_hold(&mut self, hold: Hold) {
        self.holds.insert(hold.id, Row { value: hold, is_new: false, is_changed: false });
    }

    /// Adds what became of an earlier command.
    pub fn load_decision(&mut self, request_id: RequestId, decision: Decision) {
        self.decisions.insert(request_id, decision);
    }

    /// Adds the first use of an idempotency key.
    pub fn load_key(&mut self, scope: KeyScope, first: KeyUse) {
        self.keys.insert(scope, first);
    }

    pub(super) fn product(&self, id: ProductId) -> Option<&Product> {
        self.products.get(&id).map(|row| &row.value)
    }

    pub(super) fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.get(&id).map(|row| &row.value)
    }

    pub(super) fn insert_product(&mut self, product: Product) {
        self.products.insert(product.id, Row { value: product, is_new: true, is_changed: true });
    }

    pub(super) fn insert_hold(&mut self, hold: Hold) {
        self.holds.insert(hold.id, Row { value: hold, is_new: true, is_changed: true });
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

    /// What became of a command, if it was applied before. A hold that was made is its own outcome.
    pub(super) fn decision(&self, request_id: RequestId) -> Option<Decision> {
        match self.hold(HoldId::of_request(request_id)) {
            Some(hold) => Some(Decision { replayed: false, outcome: Outcome::HoldCreated(hold.as_created()) }),
            None => self.decisions.get(&request_id).cloned(),
        }
    }

    /// Remembers what became of a command.
    pub(super) fn record(&mut self, request_id: RequestId, decision: &Decision) {
        let is_stored_as_hold =
            matches!(&decision.outcome, Outcome::HoldCreated(hold) if hold.id.request() == request_id);
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

    /// Where a command's key counts, when it has one.
    pub(super) fn key_scope(&self, command: &Command) -> Option<KeyScope> {
        let key = command.key?;
        let endpoint = command.action.endpoint()?;
        let product_id = command.action.product_id(|hold| self.hold(hold).map(|hold| hold.product_id));
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
