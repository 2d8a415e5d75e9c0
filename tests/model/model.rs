//! The rules of a sale, as the contract states them, in their simplest form.
//!
//! It searches whole lists, and computes every count anew from the holds and orders, so that no count can be wrong. It must
//! not call methods of the domain: it shares only the types of outcomes and rows. Next: [`crate::holds`] and
//! [`crate::payments`].

use holdfast_common::command::{Action, Command, NewProduct, ProductChange};
use holdfast_common::domain::{
    CancelReason, Decision, Hold, HoldState, Order, OrderState, Payment, Policy,
};
use holdfast_common::id::{HoldId, ProductId, RequestId};
use holdfast_common::outcome::{Outcome, Refusal};
use holdfast_common::time::Timestamp;

/// The most units a product can have.
const UNITS_MAX: i64 = 1_000_000_000;

pub(crate) struct Model {
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    /// Products with their present fields; `total_stock` includes restocks.
    pub(crate) products: Vec<NewProduct>,
    pub(crate) holds: Vec<Hold>,
    /// `refund_status` is computed by `order_shown`.
    pub(crate) orders: Vec<Order>,
    /// By arrival.
    pub(crate) payments: Vec<Payment>,
    decisions: Vec<(RequestId, Decision)>,
    keys: Vec<KeyUse>,
}

/// The scope of a key (slot, endpoint, hash, product), and its first use.
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
            decisions: Vec::new(),
            keys: Vec::new(),
        }
    }

    /// Ends what is due, before the first command of a batch.
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
        self.unmatch_parked();
    }

    /// Applies a command. An internal command is not recorded.
    pub(crate) fn apply(&mut self, command: &Command) -> Decision {
        let internal = Decision {
            replayed: false,
            outcome: Outcome::Internal,
        };
        match &command.action {
            Action::ExpireDue => return internal,
            Action::AdvanceRefund {
                order_id,
                payment_id,
                to,
            } => {
                self.advance_refund(*order_id, payment_id, *to);
                return internal;
            }
            _ => {}
        }
        if let Some((_, decision)) = self
            .decisions
            .iter()
            .find(|(id, _)| *id == command.request_id)
        {
            return decision.clone();
        }
        let decision = self.decide(command);
        self.decisions.push((command.request_id, decision.clone()));
        decision
    }

    fn decide(&mut self, command: &Command) -> Decision {
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
                let (_, decision) = self
                    .decisions
                    .iter()
                    .find(|(id, _)| *id == first.request_id)
                    .unwrap();
                Decision {
                    replayed: true,
                    outcome: decision.outcome.clone(),
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
        let result = match &command.action {
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
            Action::ExpireDue | Action::AdvanceRefund { .. } => unreachable!("internal"),
            Action::SettleDeadLetter { .. } => unreachable!("no command fails here"),
            Action::RepairStock { .. } => unreachable!("counts never drift here"),
            Action::ForgetCustomer { .. } => unreachable!("no customer is forgotten here"),
        };
        result.unwrap_or_else(Outcome::Refused)
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
