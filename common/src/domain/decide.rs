//! The decision: state, one command and the time in; an outcome and a changed state out.
//!
//! A command that was applied before gets its outcome again and changes nothing (I4). An unknown product, a sale that
//! is closed, too little stock: refusals are outcomes too, kept like the others.

use crate::command::{Action, Command, NewProduct, ProductChange, STOCK_MAX};
use crate::domain::audit::{AuditKind, Cause};
use crate::domain::forget::forget_customer;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::order::{CancelReason, Order};
use crate::domain::payment::PaymentState;
use crate::domain::product::Product;
use crate::domain::repair::repair_stock;
use crate::domain::settle::{advance_refund, apply_parked, cancel, refund_parked, settle};
use crate::domain::state::{KeyScope, KeyUse, State};
use crate::id::{HoldId, ProductId};
use crate::outcome::{
    DeadLetterSettled, Outcome, ProductAsOf, Refusal, Settlement, SettlementResult,
};
use crate::time::Timestamp;

/// How long a payment waits for something that matches it, in seconds.
const UNMATCHED_AFTER_SECONDS: u32 = 24 * 60 * 60;

/// What an operator has chosen.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// How long a hold lasts, in seconds (`HOLD_EXPIRY_SECONDS`).
    pub hold_expiry_seconds: u32,
    /// How long an order waits for its payment, in seconds (`ORDER_PAYMENT_SECONDS`).
    pub order_payment_seconds: u32,
    /// Whether a payment for a cancelled order gets stock again where there is some (`LATE_PAYMENT`).
    pub reallocate_late_payments: bool,
    /// How long an idempotency key is remembered, in seconds (`IDEMPOTENCY_KEY_TTL`).
    pub idempotency_key_ttl_seconds: u32,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Whether the outcome is that of an earlier command with the same idempotency key.
    pub replayed: bool,
    /// The outcome.
    pub outcome: Outcome,
}

/// Applies one command.
pub fn decide(state: &mut State, command: &Command, now: Timestamp, policy: &Policy) -> Decision {
    if let Some(decision) = state.decision(command.request_id) {
        return decision;
    }
    let scope = state.key_scope(command);
    let first = scope.and_then(|scope| first_use(state, &scope, now, policy));
    let decision = match (&first, command.key) {
        (Some((first, outcome)), Some(key)) if first.fingerprint == key.fingerprint => Decision {
            replayed: true,
            outcome: outcome.clone(),
        },
        (Some(_), _) => Decision {
            replayed: false,
            outcome: Outcome::Refused(Refusal::IdempotencyKeyReused),
        },
        (None, _) => Decision {
            replayed: false,
            outcome: act(state, command, now, policy),
        },
    };
    // Every accepted request has an outcome of its own, so that whoever polls for it finds one.
    if !command.action.is_internal() {
        state.record(command.request_id, &decision);
    }
    if let (None, Some(scope), Some(key)) = (first, scope, command.key) {
        let first = KeyUse {
            request_id: command.request_id,
            fingerprint: key.fingerprint,
            used_at: now,
        };
        state.record_key(scope, first);
    }
    decision
}

/// The first use of a key that is still remembered, and its outcome.
fn first_use(
    state: &State,
    scope: &KeyScope,
    now: Timestamp,
    policy: &Policy,
) -> Option<(KeyUse, Outcome)> {
    let first = *state.keys.get(scope)?;
    let is_remembered = now
        < first
            .used_at
            .plus_seconds(policy.idempotency_key_ttl_seconds);
    is_remembered
        .then(|| state.decision(first.request_id))
        .flatten()
        .map(|decision| (first, decision.outcome))
}

/// The outcome of what Holdfast says to itself: nobody is told it.
const NOTHING: Outcome = Outcome::PaymentSettled(Settlement {
    result: SettlementResult::Ignored,
    order: None,
});

/// Ends every loaded hold and order whose time has run out. Called once for a batch, before its first command, so that
/// no command is refused for units that are due.
pub fn expire_due(state: &mut State, now: Timestamp) {
    let is_due = |hold: &&Hold| hold.state == HoldState::Active && hold.is_expired(now);
    let due: Vec<HoldId> = state
        .holds
        .values()
        .map(|row| &row.value)
        .filter(is_due)
        .map(|hold| hold.id)
        .collect();
    for id in due {
        end_hold(state, id, HoldState::Expired { at: now });
    }
    let overdue = state
        .orders
        .values()
        .map(|row| &row.value)
        .filter(|order| order.is_overdue(now));
    for order in overdue.cloned().collect::<Vec<_>>() {
        cancel(state, &order, CancelReason::PaymentTimeout, now);
    }
    unmatch(state, now);
}

/// A parked payment that nothing has matched for a day is listed for somebody to look at.
fn unmatch(state: &mut State, now: Timestamp) {
    let mut unmatched = Vec::new();
    let payments = state.payments.values_mut().flatten();
    for row in payments.filter(|row| row.value.state == PaymentState::Parked) {
        if row.value.received_at.plus_seconds(UNMATCHED_AFTER_SECONDS) <= now {
            row.value.state = PaymentState::Unmatched;
            row.is_changed = true;
            unmatched.push(row.value.order_id);
        }
    }
    unmatched
        .into_iter()
        .for_each(|order_id| state.audit_payment(AuditKind::PaymentUnmatched, order_id));
}

fn act(state: &mut State, command: &Command, now: Timestamp, policy: &Policy) -> Outcome {
    state.cause = Cause::of(command);
    let done = match &command.action {
        Action::CreateProduct(new) => create_product(state, new, now),
        Action::ChangeProduct { product_id, change } => {
            change_product(state, *product_id, change, now)
        }
        Action::Restock {
            product_id,
            quantity,
        } => restock(state, *product_id, *quantity, now),
        Action::CreateHold {
            product_id,
            quantity,
            customer_id,
        } => {
            let hold_id = HoldId::of_request(command.request_id);
            create_hold(
                state,
                hold_id,
                *product_id,
                *quantity,
                customer_id.as_ref(),
                now,
                policy,
            )
        }
        Action::ReleaseHold { hold_id } => release_hold(state, *hold_id, now),
        Action::CreateOrder { hold_id } => create_order(state, *hold_id, now, policy),
        Action::SettlePayment(notice) => {
            Ok(Outcome::PaymentSettled(settle(state, notice, now, policy)))
        }
        // What is due was ended before the batch's first command.
        Action::ExpireDue => Ok(NOTHING),
        Action::AdvanceRefund {
            order_id,
            payment_id,
            to,
        } => {
            advance_refund(state, *order_id, payment_id, *to);
            Ok(NOTHING)
        }
        Action::SettleDeadLetter { id, is_retry } => {
            settle_dead_letter(state, *id, *is_retry, now, policy)
        }
        Action::RepairStock { product_id } => repair_stock(state, *product_id),
        Action::ForgetCustomer { hold_id } => {
            forget_customer(state, *hold_id);
            Ok(NOTHING)
        }
    };
    done.unwrap_or_else(Outcome::Refused)
}

/// Tries a dead letter's command again, under its own id, or drops it.
fn settle_dead_letter(
    state: &mut State,
    id: i64,
    is_retry: bool,
    now: Timestamp,
    policy: &Policy,
) -> Result<Outcome, Refusal> {
    let command = state
        .take_dead_letter(id)
        .ok_or(Refusal::DeadLetterNotFound)?;
    let cause = state.cause;
    if is_retry {
        decide(state, &command, now, policy);
        state.cause = cause;
    }
    state.audit_letter(
        if is_retry {
            AuditKind::DeadLetterRetried
        } else {
            AuditKind::DeadLetterDropped
        },
        &command,
    );
    let settled = DeadLetterSettled {
        id,
        is_applied: is_retry,
    };
    state.settled_letters.push((command.slot(), settled));
    Ok(Outcome::DeadLetterSettled(settled))
}

fn find_product(state: &State, id: ProductId) -> Result<&Product, Refusal> {
    state.product(id).ok_or(Refusal::ProductNotFound)
}

fn create_product(state: &mut State, new: &NewProduct, now: Timestamp) -> Result<Outcome, Refusal> {
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

fn change_product(
    state: &mut State,
    id: ProductId,
    change: &ProductChange,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let before = find_product(state, id)?.clone();
    let changed = before.changed(change).ok_or(Refusal::SaleWindowInvalid)?;
    state.change_product(id, |product| *product = changed);
    state.audit_product(AuditKind::ProductChanged, id, 0, Some(before));
    product_changed(state, id, now)
}

fn restock(
    state: &mut State,
    id: ProductId,
    quantity: i64,
    now: Timestamp,
) -> Result<Outcome, Refusal> {
    let stock = find_product(state, id)?.stock;
    if stock.total() + quantity > STOCK_MAX {
        return Err(Refusal::StockLimitExceeded);
    }
    let available_stock = stock.available();
    let restocked = stock
        .restock(quantity)
        .ok_or(Refusal::InsufficientStock { available_stock })?;
    state.change_product(id, |product| product.stock = restocked);
    state.audit_product(AuditKind::ProductRestocked, id, quantity, None);
    product_changed(state, id, now)
}

fn product_changed(state: &State, id: ProductId, now: Timestamp) -> Result<Outcome, Refusal> {
    let product = find_product(state, id)?.clone();
    Ok(Outcome::ProductChanged(Box::new(ProductAsOf {
        product,
        as_of: now,
    })))
}

fn create_hold(
    state: &mut State,
    id: HoldId,
    product_id: ProductId,
    quantity: u32,
    customer_id: Option<&String>,
    now: Timestamp,
    policy: &Policy,
) -> Result<Outcome, Refusal> {
    let product = find_product(state, product_id)?;
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

fn create_order(
    state: &mut State,
    id: HoldId,
    now: Timestamp,
    policy: &Policy,
) -> Result<Outcome, Refusal> {
    let hold = state.hold(id).ok_or(Refusal::HoldNotFound)?;
    match hold.state {
        HoldState::Consumed { .. } => return Err(Refusal::HoldConsumed),
        HoldState::Released { .. } => return Err(Refusal::HoldReleased),
        HoldState::Expired { .. } => return Err(Refusal::HoldExpired),
        HoldState::Active => {}
    }
    let (hold, order) = (
        hold.clone(),
        Order::of_hold(hold, now, policy.order_payment_seconds),
    );
    state.change_hold(id, |hold| hold.state = HoldState::Consumed { at: now });
    // The units stay promised: to the order instead of the hold.
    state.change_product(order.product_id, |product| product.holds_count -= 1);
    state.audit_hold(AuditKind::HoldConsumed, &hold);
    state.audit_order(AuditKind::OrderCreated, &order);
    state.insert_order(order);
    apply_parked(state, id, now, policy);
    state
        .order(id)
        .cloned()
        .map(Box::new)
        .map(Outcome::OrderCreated)
        .ok_or(Refusal::HoldNotFound)
}

fn release_hold(state: &mut State, id: HoldId, now: Timestamp) -> Result<Outcome, Refusal> {
    let hold = state.hold(id).ok_or(Refusal::HoldNotFound)?;
    match hold.state {
        HoldState::Released { .. } => return Ok(Outcome::HoldReleased(hold.clone())),
        HoldState::Consumed { .. } => return Err(Refusal::HoldConsumed),
        HoldState::Expired { .. } => return Err(Refusal::HoldExpired),
        HoldState::Active => end_hold(state, id, HoldState::Released { at: now }),
    }
    state
        .hold(id)
        .cloned()
        .map(Outcome::HoldReleased)
        .ok_or(Refusal::HoldNotFound)
}

/// Ends an active hold without an order: its units go back on sale.
fn end_hold(state: &mut State, id: HoldId, ended: HoldState) {
    let Some(hold) = state
        .hold(id)
        .filter(|hold| hold.state == HoldState::Active)
        .cloned()
    else {
        return;
    };
    state.change_hold(id, |hold| hold.state = ended);
    state.count_customer(
        hold.product_id,
        hold.customer_id.as_ref(),
        -i64::from(hold.quantity),
    );
    state.change_product(hold.product_id, |product| {
        product.stock = product.stock.release(hold.quantity);
        product.holds_count -= 1;
    });
    let kind = if matches!(ended, HoldState::Expired { .. }) {
        AuditKind::HoldExpired
    } else {
        AuditKind::HoldReleased
    };
    state.audit_hold(kind, &hold);
    refund_parked(state, id);
}

#[cfg(test)]
mod tests;
