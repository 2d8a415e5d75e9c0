//! Adds the audit entries of a batch, and groups them by product.

use crate::command::Command;
use crate::domain::audit::{AuditEntry, AuditGroup, AuditKind, Cause};
use crate::domain::hold::Hold;
use crate::domain::order::Order;
use crate::domain::product::Product;
use crate::domain::state::State;
use crate::id::{HoldId, ProductId, Slot};

/// Each function adds the entry of a change that was just made.
impl State {
    pub(in crate::domain) fn audit_hold(&mut self, kind: AuditKind, hold: &Hold) {
        let entry = self.entry(kind, hold.id.slot(), Some(hold.product_id));
        let quantity = hold.quantity.cast_signed();
        self.audit.push(AuditEntry {
            subject: Some(hold.id),
            quantity,
            sequence: hold.sequence,
            ..entry
        });
    }

    pub(in crate::domain) fn audit_order(&mut self, kind: AuditKind, order: &Order) {
        let entry = self.entry(kind, order.id.slot(), Some(order.product_id));
        self.audit.push(AuditEntry {
            subject: Some(order.id),
            quantity: order.quantity.cast_signed(),
            ..entry
        });
    }

    /// Adds an entry of a payment. It names the payment by the order, or by the hold that may become an order.
    pub(in crate::domain) fn audit_payment(&mut self, kind: AuditKind, order_id: HoldId) {
        let product_id = self.hold(order_id).map(|hold| hold.product_id);
        let product_id = product_id.or_else(|| self.order(order_id).map(|order| order.product_id));
        let entry = self.entry(kind, order_id.slot(), product_id);
        self.audit.push(AuditEntry {
            subject: Some(order_id),
            ..entry
        });
    }

    /// Adds an entry of a product. `before` is the product before a change other than that of its stock.
    pub(in crate::domain) fn audit_product(
        &mut self,
        kind: AuditKind,
        id: ProductId,
        quantity: i64,
        before: Option<Product>,
    ) {
        let change = before.zip(self.product(id).cloned()).map(Box::new);
        let entry = self.entry(kind, id.slot(), Some(id));
        self.audit.push(AuditEntry {
            // At most `STOCK_MAX`, so it fits.
            quantity: quantity as i32,
            change,
            ..entry
        });
    }

    pub(in crate::domain) fn audit_dead_letter(&mut self, kind: AuditKind, command: &Command) {
        let entry = self.entry(kind, command.slot(), self.product_of(&command.action));
        self.audit.push(AuditEntry {
            subject: command.action.named_hold(),
            ..entry
        });
    }

    /// An entry with the product's data only. A product that is not in the loaded state (it does not exist) gives none.
    fn entry(&self, kind: AuditKind, slot: Slot, product_id: Option<ProductId>) -> AuditEntry {
        let product = product_id.and_then(|id| self.product(id));
        let Cause { actor, request_id } = self.cause;
        AuditEntry {
            kind,
            actor,
            request_id,
            slot,
            product_id: product.map(|product| product.id),
            subject: None,
            quantity: 0,
            sequence: product.map_or(0, |product| product.hold_sequence),
            stock: product.map(|product| product.stock).unwrap_or_default(),
            change: None,
        }
    }

    /// The entries by product, each product's in order.
    pub(super) fn take_audit(&mut self) -> Vec<AuditGroup> {
        let mut entries = std::mem::take(&mut self.audit);
        // A stable sort keeps each product's order, and is fast on sorted input such as the entries of one hot product.
        entries.sort_by_key(|entry| (entry.slot, entry.product_id));
        let mut groups: Vec<AuditGroup> = Vec::new();
        for entry in entries {
            let product = |entry: &AuditEntry| (entry.slot, entry.product_id);
            match groups.last_mut() {
                Some(group) if product(&group.entries[0]) == product(&entry) => {
                    group.entries.push(entry)
                }
                _ => {
                    let before = entry
                        .product_id
                        .and_then(|id| self.stock_before.get(&id))
                        .copied();
                    groups.push(AuditGroup {
                        before: before.unwrap_or_default(),
                        entries: vec![entry],
                    });
                }
            }
        }
        groups
    }
}
