//! Forgetting a customer: what has ended loses its name, and what is active keeps it until it has ended, too.
//!
//! What a customer had still counts as held and sold, and payments stay (I8): they tell of money, and name no customer.

use crate::domain::audit::AuditKind;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::order::{Order, OrderStatus};
use crate::domain::state::State;
use crate::id::HoldId;

/// Takes the customer off a hold and its order, when both have ended. Otherwise nothing changes, and whoever asked looks.
pub(super) fn forget_customer(state: &mut State, id: HoldId) {
    let Some(hold) = state.hold(id).cloned() else {
        return;
    };
    let order = state.order(id);
    let has_name =
        hold.customer_id.is_some() || order.is_some_and(|order| order.customer_id.is_some());
    // Until when a batch can be committed depends on the holds that it has given back or ordered: those are for another one.
    let is_of_batch = !matches!(hold.state, HoldState::Expired { .. }) && state.has_changed(id);
    if !has_name || is_of_batch || !has_ended(&hold, order) {
        return;
    }
    state.forget(id);
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
