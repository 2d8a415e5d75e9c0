//! Decisions about holds: create, consume by an order, release, expire.

use crate::domain::audit::AuditKind;
use crate::domain::decide::{payments, products};
use crate::domain::hold::{Hold, HoldState, HoldTransitionError};
use crate::domain::order::Order;
use crate::domain::policy::Policy;
use crate::domain::product::Product;
use crate::domain::state::State;
use crate::id::{HoldId, ProductId};
use crate::outcome::{Outcome, Refusal};
use crate::time::Timestamp;

pub(super) struct NewHold<'c> {
    pub(super) id: HoldId,
    pub(super) product_id: ProductId,
    pub(super) quantity: u32,
    pub(super) customer_id: Option<&'c String>,
}

impl From<HoldTransitionError> for Refusal {
    fn from(error: HoldTransitionError) -> Self {
        match error {
            HoldTransitionError::Consumed => Self::HoldConsumed,
            HoldTransitionError::Released => Self::HoldReleased,
            HoldTransitionError::Expired => Self::HoldExpired,
        }
    }
}

pub(super) fn create(
    state: &mut State,
    new: &NewHold,
    now: Timestamp,
    policy: &Policy,
) -> Result<Outcome, Refusal> {
    let &NewHold {
        id,
        product_id,
        quantity,
        customer_id,
    } = new;
    let product = products::find(state, product_id)?;
    if !product.is_open(now) {
        let (starts_at, ends_at) = (product.sale_starts_at, product.sale_ends_at);
        return Err(Refusal::SaleNotOpen { starts_at, ends_at });
    }
    let available_stock = product.stock.available();
    let stock = product
        .stock
        .hold(quantity)
        .ok_or(Refusal::InsufficientStock { available_stock })?;
    check_limit(state, product, quantity, customer_id)?;
    let hold = Hold {
        id,
        product_id,
        quantity,
        customer_id: customer_id.cloned(),
        price_minor: product.price_minor,
        currency: product.currency,
        state: HoldState::Active,
        created_at: now,
        expires_at: now.plus_seconds(policy.hold_expiry_seconds),
        sequence: product.hold_sequence + 1,
    };
    state.change_product(product_id, |product| {
        product.stock = stock;
        product.holds_count += 1;
        product.hold_sequence = hold.sequence;
    });
    state.count_customer(product_id, customer_id, quantity.into());
    state.audit_hold(AuditKind::HoldCreated, &hold);
    state.insert_hold(hold.clone());
    Ok(Outcome::HoldCreated(hold))
}

fn check_limit(
    state: &State,
    product: &Product,
    quantity: u32,
    customer_id: Option<&String>,
) -> Result<(), Refusal> {
    let Some((max_per_customer, customer_id)) = product.max_per_customer.zip(customer_id) else {
        return Ok(());
    };
    let units = state.customer_units(product.id, customer_id);
    let fits = units + i64::from(quantity) <= i64::from(max_per_customer);
    fits.then_some(()).ok_or(Refusal::PurchaseLimitReached {
        max_per_customer,
        units,
    })
}

/// Creates the order of a hold, and applies the payments that came before it.
pub(super) fn consume(
    state: &mut State,
    id: HoldId,
    now: Timestamp,
    policy: &Policy,
) -> Result<Outcome, Refusal> {
    state.hold(id).ok_or(Refusal::HoldNotFound)?;
    let hold = state.transition_hold(id, |hold| hold.consume(now))?;
    let order = Order::of_hold(&hold, now, policy.order_payment_seconds);
    // The units stay held, now by the order.
    state.change_product(hold.product_id, |product| product.holds_count -= 1);
    state.audit_hold(AuditKind::HoldConsumed, &hold);
    state.audit_order(AuditKind::OrderCreated, &order);
    state.insert_order(order);
    payments::apply_parked(state, id, now, policy);
    let order = state.order(id).ok_or(Refusal::HoldNotFound)?;
    Ok(Outcome::OrderCreated(Box::new(order.clone())))
}

/// Releases a hold. To release it again is a success, too.
pub(super) fn release(state: &mut State, id: HoldId, now: Timestamp) -> Result<Outcome, Refusal> {
    let hold = state.hold(id).ok_or(Refusal::HoldNotFound)?;
    if matches!(hold.state, HoldState::Released { .. }) {
        return Ok(Outcome::HoldReleased(hold.clone()));
    }
    let hold = state.transition_hold(id, |hold| hold.release(now))?;
    return_units(state, &hold, AuditKind::HoldReleased);
    Ok(Outcome::HoldReleased(hold))
}

/// Expires an active hold whose time is over.
pub(super) fn expire(state: &mut State, id: HoldId, now: Timestamp) {
    #[expect(clippy::expect_used)]
    let hold = state
        .transition_hold(id, |hold| hold.expire(now))
        .expect("`expire_due` has selected active holds");
    return_units(state, &hold, AuditKind::HoldExpired);
}

/// Puts the units of a hold that ended without an order back on sale, and refunds its parked payments.
fn return_units(state: &mut State, hold: &Hold, kind: AuditKind) {
    state.count_customer(
        hold.product_id,
        hold.customer_id.as_ref(),
        -i64::from(hold.quantity),
    );
    state.change_product(hold.product_id, |product| {
        product.stock = product.stock.release(hold.quantity);
        product.holds_count -= 1;
    });
    state.audit_hold(kind, hold);
    payments::refund_parked(state, hold.id);
}
