//! The removal of customer ids from holds and orders that have ended.
//!
//! Stock does not change: the units still count as they did. Payments stay (I8): they contain no customer id.

use crate::domain::audit::AuditKind;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::state::State;
use crate::id::HoldId;

/// Removes the customer from a hold and its order, when both have ended. Otherwise nothing changes; the sender reads the
/// tables and sends the command again later.
pub(super) fn forget(state: &mut State, id: HoldId) {
    let Some(hold) = state.hold(id).cloned() else {
        return;
    };
    let order = state.order(id);
    let has_customer =
        hold.customer_id.is_some() || order.is_some_and(|order| order.customer_id.is_some());
    // A hold that this batch consumed or released limits the time of its commit (`Changes::good_until`), and only
    // `changed_holds` are checked for that. Such a hold is left to a later batch.
    let is_ended_by_batch =
        !matches!(hold.state, HoldState::Expired { .. }) && state.has_changed(id);
    if !has_customer || is_ended_by_batch || !has_ended(&hold, order) {
        return;
    }
    state.forget_customer(id);
    state.audit_hold(AuditKind::CustomerForgotten, &hold);
}

fn has_ended(hold: &Hold, order: Option<&Order>) -> bool {
    match hold.state {
        HoldState::Active => false,
        HoldState::Consumed { .. } => {
            order.is_some_and(|order| order.status() != OrderStatus::PendingPayment)
        }
        HoldState::Released { .. } | HoldState::Expired { .. } => true,
    }
}
