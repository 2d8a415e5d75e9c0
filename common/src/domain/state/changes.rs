//! The changes of a batch: the rows to write. Rows that are as in the tables are not in here.

use crate::domain::audit::AuditGroup;
use crate::domain::decision::Decision;
use crate::domain::hold::{Hold, HoldState};
use crate::domain::key::{KeyScope, KeyUse};
use crate::domain::order::Order;
use crate::domain::payment::Payment;
use crate::domain::product::Product;
use crate::domain::state::{Row, State};
use crate::id::{RequestId, Slot};
use crate::outcome::DeadLetterSettled;
use crate::time::Timestamp;

/// The rows to write after a batch: `new_` rows to insert, `changed_` rows to update.
#[derive(Debug, Default)]
pub struct Changes {
    pub new_products: Vec<Product>,
    pub changed_products: Vec<Product>,
    pub new_holds: Vec<Hold>,
    pub changed_holds: Vec<Hold>,
    /// Holds to update whose customer is removed. They are not in `changed_holds`.
    pub forgotten_holds: Vec<Hold>,
    pub new_orders: Vec<Order>,
    pub changed_orders: Vec<Order>,
    /// Orders to update whose customer is removed. They are not in `changed_orders`.
    pub forgotten_orders: Vec<Order>,
    pub new_payments: Vec<Payment>,
    pub changed_payments: Vec<Payment>,
    /// Decisions to insert. The decision of a created hold is the hold itself, and is not in here.
    pub decisions: Vec<(RequestId, Decision)>,
    /// First uses of idempotency keys to insert.
    pub keys: Vec<(KeyScope, KeyUse)>,
    /// Settled dead letters, each with its slot.
    pub settled_dead_letters: Vec<(Slot, DeadLetterSettled)>,
    /// Audit entries to insert: one group for each product.
    pub audit: Vec<AuditGroup>,
}

impl Changes {
    /// The time before which the batch must be committed: the first expiry of a hold that this batch consumes or releases.
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
            .filter_map(|id| Some((id, state.decisions.remove(&id)?)))
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
        // Transactions that lock rows in the same order can't deadlock. Rows that are inserted by key stay together on disk.
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
            settled_dead_letters: state.settled_dead_letters,
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
