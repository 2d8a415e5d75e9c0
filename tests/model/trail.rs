//! The replay of the audit: from the entries alone, the stock, holds and orders must be as in the tables.
//!
//! The effect of an entry on the counts is computed from its kind and quantity only, independently of the domain.

use std::collections::BTreeMap;

use holdfast_common::domain::{
    AuditEntry, AuditKind, Changes, HoldState, OrderStatus, Payment, Stock,
};
use holdfast_common::id::{HoldId, ProductId};

use crate::tables::Tables;

/// The state after the entries so far.
#[derive(Default)]
pub(crate) struct Trail {
    stock: BTreeMap<ProductId, [i64; 3]>,
    holds: BTreeMap<HoldId, &'static str>,
    orders: BTreeMap<HoldId, OrderStatus>,
}

impl Trail {
    /// Applies the entries of a batch. The tables are those before the batch.
    pub(crate) fn apply(&mut self, changes: &Changes, tables: &Tables) -> Result<(), String> {
        for group in &changes.audit {
            let product_id = group.entries[0].product_id;
            let before = product_id
                .and_then(|id| self.stock.get(&id))
                .copied()
                .unwrap_or_default();
            ensure(before == counts(group.before), || {
                format!("before is {:?}, not {before:?}", group.before)
            })?;
            for entry in &group.entries {
                ensure(entry.product_id == product_id, || {
                    format!("{entry:?} is in a group of {product_id:?}")
                })?;
                self.entry(entry)?;
            }
        }
        let settled = changes.new_payments.iter().chain(&changes.changed_payments);
        let has_changed = |payment: &&Payment| {
            let key = (payment.order_id, payment.payment_id.clone());
            tables
                .payments
                .get(&key)
                .is_none_or(|before| before.state != payment.state)
        };
        let entries: Vec<_> = changes
            .audit
            .iter()
            .flat_map(|group| &group.entries)
            .collect();
        for payment in settled.filter(has_changed) {
            let has_entry = entries.iter().any(|entry| {
                entry.subject == Some(payment.order_id) && (entry.kind as i16) / 10 >= 2
            });
            ensure(has_entry, || format!("no entry for {payment:?}"))?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &AuditEntry) -> Result<(), String> {
        let units = i64::from(entry.quantity);
        let [available, held, sold] = match entry.kind {
            AuditKind::HoldCreated | AuditKind::OrderReallocated => [-units, units, 0],
            AuditKind::HoldReleased
            | AuditKind::HoldExpired
            | AuditKind::OrderPaymentFailed
            | AuditKind::OrderPaymentTimeout => [units, -units, 0],
            AuditKind::OrderPaid => [0, -units, units],
            AuditKind::ProductCreated | AuditKind::ProductRestocked => [units, 0, 0],
            _ => [0; 3],
        };
        if let Some(id) = entry.product_id {
            let stock = self.stock.entry(id).or_default();
            *stock = [stock[0] + available, stock[1] + held, stock[2] + sold];
            ensure(*stock == counts(entry.stock), || {
                format!("{entry:?}: after it {stock:?}")
            })?;
        }
        let Some(subject) = entry.subject else {
            return Ok(());
        };
        let (hold, order) = (
            self.holds.get(&subject).copied(),
            self.orders.get(&subject).copied(),
        );
        let pending = Some(OrderStatus::PendingPayment);
        let is_right = match entry.kind {
            AuditKind::HoldCreated => self.holds.insert(subject, "active").is_none(),
            AuditKind::HoldConsumed => self.holds.insert(subject, "consumed") == Some("active"),
            AuditKind::HoldReleased => self.holds.insert(subject, "released") == Some("active"),
            AuditKind::HoldExpired => self.holds.insert(subject, "expired") == Some("active"),
            AuditKind::OrderCreated => self
                .orders
                .insert(subject, OrderStatus::PendingPayment)
                .is_none(),
            AuditKind::OrderPaid => self.orders.insert(subject, OrderStatus::Paid) == pending,
            AuditKind::OrderPaymentFailed | AuditKind::OrderPaymentTimeout => {
                self.orders.insert(subject, OrderStatus::Cancelled) == pending
            }
            AuditKind::OrderReallocated => {
                self.orders.insert(subject, OrderStatus::PendingPayment)
                    == Some(OrderStatus::Cancelled)
            }
            _ => true,
        };
        ensure(is_right, || {
            format!("{entry:?} of a hold that was {hold:?} and an order that was {order:?}")
        })
    }

    /// Compares the replayed state with the tables.
    pub(crate) fn compare(&self, tables: &Tables) -> Result<(), String> {
        let stock = tables
            .products
            .values()
            .map(|product| (product.id, counts(product.stock)))
            .collect();
        let holds = tables
            .holds
            .values()
            .map(|hold| (hold.id, status(hold.state)))
            .collect();
        let orders = tables
            .orders
            .values()
            .map(|order| (order.id, order.status()))
            .collect();
        let is_same = self.stock == stock && self.holds == holds && self.orders == orders;
        ensure(is_same, || {
            format!(
                "replayed: {:?}, {:?}, {:?}",
                self.stock, self.holds, self.orders
            )
        })
    }
}

fn counts(stock: Stock) -> [i64; 3] {
    [stock.available(), stock.held(), stock.sold()]
}

fn status(state: HoldState) -> &'static str {
    match state {
        HoldState::Active => "active",
        HoldState::Consumed { .. } => "consumed",
        HoldState::Released { .. } => "released",
        HoldState::Expired { .. } => "expired",
    }
}

fn ensure(is_true: bool, broken: impl FnOnce() -> String) -> Result<(), String> {
    if is_true {
        Ok(())
    } else {
        Err(format!("the audit: {}", broken()))
    }
}
