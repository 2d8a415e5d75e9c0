//! The rules of a sale as the contract states them, as plainly as they can be computed.
//!
//! Lists are searched from end to end and every count is made anew from the holds and orders, so that nothing can be
//! forgotten to be counted. It must not call the domain's methods: it shares with the domain only the types in which
//! answers and rows are written down. Next: [`crate::holds`] and [`crate::payments`] for what becomes of those.

use holdfast_common::command::{Action, Command, NewProduct, ProductChange};
use holdfast_common::domain::{
    CancelReason, Decision, Hold, HoldState, Order, OrderState, Payment, Policy,
};
use holdfast_common::id::{HoldId, ProductId, RequestId};
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::time::Timestamp;

/// The most units a product can have.
const UNITS_MAX: i64 = 1_000_000_000;

/// Everything that has happened, and when it is.
pub(crate) struct Model {
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    /// As they are sold now; `total_stock` is what there is in all.
    pub(crate) products: Vec<NewProduct>,
    pub(crate) holds: Vec<Hold>,
    /// Their `refund_status` is made out when they are shown.
    pub(crate) orders: Vec<Order>,
    /// In the order of their arrival.
    pub(crate) payments: Vec<Payment>,
    answers: Vec<(RequestId, Decision)>,
    keys: Vec<KeyUse>,
}

/// Where a key counts (slot, endpoint, hash, product), and its first use.
struct KeyUse {
    scope: (u16, &'static str, [u8; 16], i64),
    at: Timestamp,
    request_id: RequestId,
    action: Action,
}

impl Model {
    pub(crate) fn new(policy: Policy, now: Timestamp) -> Self {
        let (products, holds, orders, payments) = Default::default();
        Self {
            policy,
            now,
            products,
            holds,
            orders,
            payments,
            answers: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// What is due at the beginning of a batch ends before anything else happens.
    pub(crate) fn begin_batch(&mut self, now: Timestamp) {
        self.now = now;
        let due = self
            .holds
            .iter()
            .filter(|hold| hold.state == HoldState::Active && hold.expires_at <= now);
        for id in due.map(|hold| hold.id).collect::<Vec<_>>() {
            self.end_hold(id, HoldState::Expired { at: now });
        }
        for order in &mut self.orders {
            if order.state == OrderState::PendingPayment && order.payment_due_at <= now {
                order.state = OrderState::Cancelled {
                    reason: CancelReason::PaymentTimeout,
                    at: now,
                };
            }
        }
        self.give_up_waiting();
    }

    /// The answer to a command; nobody is answered by what Holdfast says to itself.
    pub(crate) fn apply(&mut self, command: &Command) -> Option<Decision> {
        match &command.action {
            Action::ExpireDue => return None,
            Action::AdvanceRefund {
                order_id,
                payment_id,
                to,
            } => {
                self.advance_refund(*order_id, payment_id, *to);
                return None;
            }
            _ => {}
        }
        if let Some((_, answer)) = self
            .answers
            .iter()
            .find(|(id, _)| *id == command.request_id)
        {
            return Some(answer.clone());
        }
        let answer = self.answer(command);
        self.answers.push((command.request_id, answer.clone()));
        Some(answer)
    }

    fn answer(&mut self, command: &Command) -> Decision {
        let Some(scope) = self.key_scope(command) else {
            return Decision {
                replayed: false,
                outcome: self.act(command),
            };
        };
        let ttl = self.policy.idempotency_key_ttl_seconds;
        let first = self
            .keys
            .iter()
            .find(|key| key.scope == scope && self.now < key.at.plus_seconds(ttl));
        match first {
            Some(first) if first.action == command.action => {
                let (_, answer) = self
                    .answers
                    .iter()
                    .find(|(id, _)| *id == first.request_id)
                    .unwrap();
                Decision {
                    replayed: true,
                    outcome: answer.outcome.clone(),
                }
            }
            Some(_) => Decision {
                replayed: false,
                outcome: Outcome::Refused(Refusal::IdempotencyKeyReused),
            },
            None => {
                let (at, request_id, action) =
                    (self.now, command.request_id, command.action.clone());
                self.keys.push(KeyUse {
                    scope,
                    at,
                    request_id,
                    action,
                });
                Decision {
                    replayed: false,
                    outcome: self.act(command),
                }
            }
        }
    }

    fn key_scope(&self, command: &Command) -> Option<(u16, &'static str, [u8; 16], i64)> {
        let of_hold = |id: &HoldId| self.hold(*id).map_or(0, |hold| hold.product_id.0);
        let (endpoint, product) = match &command.action {
            Action::CreateHold { product_id, .. } => ("POST holds", product_id.0),
            Action::ReleaseHold { hold_id } => ("DELETE hold", of_hold(hold_id)),
            Action::CreateOrder { hold_id } => ("POST orders", of_hold(hold_id)),
            Action::Restock { product_id, .. } => ("POST restock", product_id.0),
            Action::SettlePayment(_) => ("POST webhook", 0),
            _ => return None,
        };
        Some((
            command.request_id.slot().get(),
            endpoint,
            command.key?.hash,
            product,
        ))
    }

    fn act(&mut self, command: &Command) -> Outcome {
        let answer = match &command.action {
            Action::CreateProduct(new) => self.create_product(new),
            Action::ChangeProduct { product_id, change } => {
                self.change_product(*product_id, change)
            }
            Action::Restock {
                product_id,
                quantity,
            } => self.restock(*product_id, *quantity),
            Action::CreateHold {
                product_id,
                quantity,
                customer_id,
            } => {
                let id = HoldId::of_request(command.request_id);
                self.create_hold(id, *product_id, *quantity, customer_id.as_ref())
            }
            Action::ReleaseHold { hold_id } => self.release_hold(*hold_id),
            Action::CreateOrder { hold_id } => self.create_order(*hold_id),
            Action::SettlePayment(notice) => {
                Ok(Outcome::PaymentSettled(self.settle_payment(notice)))
            }
            Action::ExpireDue | Action::AdvanceRefund { .. } => unreachable!("answered by nothing"),
            Action::SettleDeadLetter { .. } => unreachable!("no command fails here"),
            Action::RepairStock { .. } => unreachable!("no count is ever off here"),
            Action::ForgetCustomer { .. } => unreachable!("nobody is forgotten here"),
        };
        answer.unwrap_or_else(Outcome::Refused)
    }

    fn create_product(&mut self, new: &NewProduct) -> Result<Outcome, Refusal> {
        if self
            .products
            .iter()
            .any(|product| product.product_id == new.product_id)
        {
            return Err(Refusal::ProductExists);
        }
        self.products.push(new.clone());
        Ok(Outcome::ProductCreated(self.product_as_of(new.product_id)))
    }

    fn change_product(
        &mut self,
        id: ProductId,
        change: &ProductChange,
    ) -> Result<Outcome, Refusal> {
        let product = self.find_product(id)?;
        let mut changed = product.clone();
        changed.price_minor = change.price_minor.unwrap_or(product.price_minor);
        changed.currency = change.currency.unwrap_or(product.currency);
        changed.max_per_customer = change.max_per_customer.unwrap_or(product.max_per_customer);
        changed.sale_starts_at = change.sale_starts_at.unwrap_or(product.sale_starts_at);
        changed.sale_ends_at = change.sale_ends_at.unwrap_or(product.sale_ends_at);
        if let (Some(start), Some(end)) = (changed.sale_starts_at, changed.sale_ends_at)
            && start >= end
        {
            return Err(Refusal::SaleWindowInvalid);
        }
        *product = changed;
        Ok(Outcome::ProductChanged(self.product_as_of(id)))
    }

    fn restock(&mut self, id: ProductId, quantity: i64) -> Result<Outcome, Refusal> {
        let total = self.find_product(id)?.total_stock + quantity;
        let available_stock = self.available(id);
        if total > UNITS_MAX {
            return Err(Refusal::StockLimitExceeded);
        }
        if available_stock + quantity < 0 {
            return Err(Refusal::InsufficientStock { available_stock });
        }
        self.find_product(id)?.total_stock = total;
        Ok(Outcome::ProductChanged(self.product_as_of(id)))
    }

    pub(crate) fn hold(&self, id: HoldId) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.id == id)
    }

    pub(crate) fn find_product(&mut self, id: ProductId) -> Result<&mut NewProduct, Refusal> {
        self.products
            .iter_mut()
            .find(|product| product.product_id == id)
            .ok_or(Refusal::ProductNotFound)
    }
}
