//! The end of what is due: holds past their expiry, unpaid orders, and parked payments.

use crate::domain::audit::AuditKind;
use crate::domain::decide::{holds, orders};
use crate::domain::hold::HoldState;
use crate::domain::order::CancelReason;
use crate::domain::payment::UNMATCHED_AFTER;
use crate::domain::state::State;
use crate::id::HoldId;
use crate::time::Timestamp;

/// Ends every loaded hold and order that is due. A batch calls this once, before its first command, so that no command is
/// refused for units that are due to come back.
///
/// # Panics
/// When an invariant is violated. The caller must then discard the state: it may be changed in part.
pub fn expire_due(state: &mut State, now: Timestamp) {
    let holds = state.holds.values().map(|row| &row.value);
    let due: Vec<HoldId> = holds
        .filter(|hold| hold.state == HoldState::Active && hold.is_expired(now))
        .map(|hold| hold.id)
        .collect();
    for id in due {
        holds::expire(state, id, now);
    }
    let orders = state.orders.values().map(|row| &row.value);
    let overdue: Vec<_> = orders
        .filter(|order| order.is_overdue(now))
        .cloned()
        .collect();
    for order in overdue {
        orders::cancel(state, &order, CancelReason::PaymentTimeout, now);
    }
    for order_id in state.unmatch_parked_before(now.minus(UNMATCHED_AFTER)) {
        state.audit_payment(AuditKind::PaymentUnmatched, order_id);
    }
}
