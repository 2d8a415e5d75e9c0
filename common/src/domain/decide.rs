//! The decision: it takes the state, one command and the time, and returns an outcome and changes the state.
//!
//! A command that was applied before gets the same outcome again and changes nothing (I4). Refusals (an unknown product, a
//! closed sale, too little stock) are outcomes too, and are stored like the others. Next: [`super::state`].

mod customers;
pub(super) mod due;
mod holds;
mod orders;
mod payments;
mod products;
mod refunds;
#[cfg(test)]
mod tests;

use crate::command::{Action, Command};
use crate::domain::audit::{AuditKind, Cause};
use crate::domain::decision::Decision;
use crate::domain::key::{KeyScope, KeyUse};
use crate::domain::policy::Policy;
use crate::domain::state::State;
use crate::id::HoldId;
use crate::outcome::{DeadLetterSettled, Outcome, Refusal};
use crate::time::Timestamp;

/// Applies one command.
///
/// # Panics
/// When an invariant is violated. The caller must then discard the state: it may be changed in part.
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
            outcome: apply(state, command, now, policy),
        },
    };
    // A replay is recorded too: a client may poll for the outcome of any accepted request.
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

fn apply(state: &mut State, command: &Command, now: Timestamp, policy: &Policy) -> Outcome {
    state.cause = Cause::of(command);
    let result = match &command.action {
        Action::CreateProduct(new) => products::create(state, new, now),
        Action::ChangeProduct { product_id, change } => {
            products::change(state, *product_id, change, now)
        }
        Action::Restock {
            product_id,
            quantity,
        } => products::restock(state, *product_id, *quantity, now),
        Action::RepairStock { product_id } => products::repair(state, *product_id),
        Action::CreateHold {
            product_id,
            quantity,
            customer_id,
        } => {
            let new = holds::NewHold {
                id: HoldId::of_request(command.request_id),
                product_id: *product_id,
                quantity: *quantity,
                customer_id: customer_id.as_ref(),
            };
            holds::create(state, &new, now, policy)
        }
        Action::ReleaseHold { hold_id } => holds::release(state, *hold_id, now),
        Action::CreateOrder { hold_id } => holds::consume(state, *hold_id, now, policy),
        Action::SettlePayment(notice) => Ok(Outcome::PaymentSettled(payments::settle(
            state, notice, now, policy,
        ))),
        Action::SettleDeadLetter { id, is_retry } => {
            settle_dead_letter(state, *id, *is_retry, now, policy)
        }
        // `expire_due` has ended everything that was due, before the batch's first command.
        Action::ExpireDue => Ok(Outcome::Internal),
        Action::AdvanceRefund {
            order_id,
            payment_id,
            to,
        } => {
            refunds::advance(state, *order_id, payment_id, *to);
            Ok(Outcome::Internal)
        }
        Action::ForgetCustomer { hold_id } => {
            customers::forget(state, *hold_id);
            Ok(Outcome::Internal)
        }
    };
    result.unwrap_or_else(Outcome::Refused)
}

/// Drops a dead letter, or applies its command again, under the command's own id.
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
    let kind = if is_retry {
        decide(state, &command, now, policy);
        state.cause = cause;
        AuditKind::DeadLetterRetried
    } else {
        AuditKind::DeadLetterDropped
    };
    state.audit_dead_letter(kind, &command);
    let settled = DeadLetterSettled {
        id,
        is_applied: is_retry,
    };
    state.settled_dead_letters.push((command.slot(), settled));
    Ok(Outcome::DeadLetterSettled(settled))
}
