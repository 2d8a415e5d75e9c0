//! Decisions about products: create, change, restock, and repair of the counts.

use crate::command::{NewProduct, ProductChange, STOCK_MAX};
use crate::domain::audit::AuditKind;
use crate::domain::product::{Counts, Product, StockRepair};
use crate::domain::state::State;
use crate::id::ProductId;
use crate::outcome::{Outcome, ProductAsOf, Refusal};
use crate::time::Timestamp;

pub(super) fn find(state: &State, id: ProductId) -> Result<&Product, Refusal> {
    state.product(id).ok_or(Refusal::ProductNotFound)
}

pub(super) fn create(
    state: &mut State,
    new: &NewProduct,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    if state.product(new.product_id).is_some() {
        return Err(Refusal::ProductExists);
    }
    let product = Product::new(new);
    state.insert_product(product.clone());
    state.audit_product(AuditKind::ProductCreated, product.id, new.total_stock, None);
    Ok(Outcome::ProductCreated(Box::new(ProductAsOf {
        product,
        as_of: now,
    })))
}

pub(super) fn change(
    state: &mut State,
    id: ProductId,
    change: &ProductChange,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let before = find(state, id)?.clone();
    let changed = before.changed(change).ok_or(Refusal::SaleWindowInvalid)?;
    state.change_product(id, |product| *product = changed);
    state.audit_product(AuditKind::ProductChanged, id, 0, Some(before));
    changed_as_of(state, id, now)
}

pub(super) fn restock(
    state: &mut State,
    id: ProductId,
    quantity: i64,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let stock = find(state, id)?.stock;
    if stock.total() + quantity > STOCK_MAX {
        return Err(Refusal::StockLimitExceeded);
    }
    let available_stock = stock.available();
    let restocked = stock
        .restock(quantity)
        .ok_or(Refusal::InsufficientStock { available_stock })?;
    state.change_product(id, |product| product.stock = restocked);
    state.audit_product(AuditKind::ProductRestocked, id, quantity, None);
    changed_as_of(state, id, now)
}

fn changed_as_of(state: &State, id: ProductId, now: Timestamp) -> Result<Outcome, Refusal> {
    let product = find(state, id)?.clone();
    Ok(Outcome::ProductChanged(Box::new(ProductAsOf {
        product,
        as_of: now,
    })))
}

/// Sets a product's counts to the sums over its holds and orders.
pub(super) fn repair(state: &mut State, id: ProductId) -> Result<Outcome, Refusal> {
    let before = Counts::of(find(state, id)?);
    if let Some(drift) = state.take_drift(id) {
        state.change_product(id, |product| {
            product.stock = product.stock.recounted(
                product.stock.held() + drift.held,
                product.stock.sold() + drift.sold,
            );
            product.holds_count += drift.holds_count;
            product.hold_sequence += drift.hold_sequence;
        });
        state.audit_product(AuditKind::ProductRepaired, id, 0, None);
    }
    let after = Counts::of(find(state, id)?);
    Ok(Outcome::StockRepaired(Box::new(StockRepair {
        product_id: id,
        before,
        after,
    })))
}
