//! What a batch changed: the rows to write, and nothing that the tables have already.

use crate::domain::audit::AuditGroup;
use crate::domain::decide::Decision;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::product::Product;
use crate::domain::state::{KeyScope, KeyUse, Row, State};
use crate::id::{RequestId, Slot};
use crate::outcome::DeadLetterSettled;
use crate::time::Timestamp;

/// The rows to write after a batch.
#[derive(Debug, Default)]
pub struct Changes {
    /// Products to insert.
    pub new_products: Vec<Product>,
    /// Products to update.
    pub changed_products: Vec<Product>,
    /// Holds to insert.
    pub new_holds: Vec<Hold>,
    /// Holds to update.
    pub changed_holds: Vec<Hold>,
    /// Holds to update that lose their customer.
    pub forgotten_holds: Vec<Hold>,
    /// Orders to insert.
    pub new_orders: Vec<Order>,
    /// Orders to update.
    pub changed_orders: Vec<Order>,
    /// Orders to update that lose their customer.
    pub forgotten_orders: Vec<Order>,
    /// Payments to insert.
    pub new_payments: Vec<Payment>,
    /// Payments to update.
    pub changed_payments: Vec<Payment>,
    /// What became of commands, to insert. The outcome of a hold that was made is the hold itself.
    pub decisions: Vec<(RequestId, Decision)>,
    /// First uses of idempotency keys to insert.
    pub keys: Vec<(KeyScope, KeyUse)>,
    /// Dead letters that are settled, each with its slot.
    pub settled_letters: Vec<(Slot, DeadLetterSettled)>,
    /// What the audit says of all this, to insert: a group for each product.
    pub audit: Vec<AuditGroup>,
}

impl Changes {
    /// Until when all of it can be committed: when the first hold expires that becomes an order or is given back here.
    #[must_use]
    pub fn good_until(&self) -> Option<Timestamp> {
        let holds = self.new_holds.iter().chain(&self.changed_holds);
        let ended = |hold: &&Hold| {
            matches!(
                hold.state,
                HoldState::Consumed { .. } | HoldState::Released { .. }
            )
        };
        holds.filter(ended).map(|hold| hold.expires_at).min()
    }
}

impl From<State> for Changes {
    fn from(mut state: State) -> Self {
        let audit = state.take_audit();
        let new_decisions = std::mem::take(&mut state.new_decisions);
        let decisions = new_decisions
            .into_iter()
            .filter_map(|id| Some((id, state.take_decision(id)?)))
            .collect();
        let keys = state
            .new_keys
            .iter()
            .map(|scope| (*scope, state.keys[scope]))
            .collect();
        let (new_products, mut changed_products) = split(state.products.into_values());
        let (mut new_holds, mut changed_holds) = split(state.holds.into_values());
        let (new_orders, mut changed_orders) = split(state.orders.into_values());
        let (new_payments, changed_payments) = split(state.payments.into_values().flatten());
        let forgotten = state.forgotten;
        let forgotten_holds = changed_holds
            .extract_if(.., |hold| forgotten.contains(&hold.id))
            .collect();
        let forgotten_orders = changed_orders
            .extract_if(.., |order| forgotten.contains(&order.id))
            .collect();
        // Rows that are locked in the same order by everyone can't deadlock; rows that are inserted in the order of
        // their keys stay together.
        changed_products.sort_unstable_by_key(|product| product.id);
        new_holds.sort_unstable_by_key(|hold| hold.id);
        Self {
            new_products,
            changed_products,
            new_holds,
            changed_holds,
            forgotten_holds,
            new_orders,
            changed_orders,
            forgotten_orders,
            new_payments,
            changed_payments,
            decisions,
            keys,
            settled_letters: state.settled_letters,
            audit,
        }
    }
}

fn split<T>(rows: impl Iterator<Item = Row<T>>) -> (Vec<T>, Vec<T>) {
    let (new, changed): (Vec<_>, Vec<_>) = rows
        .filter(|row| row.is_changed)
        .partition(|row| row.is_new);
    let values = |rows: Vec<Row<T>>| rows.into_iter().map(|row| row.value).collect();
    (values(new), values(changed))
}
