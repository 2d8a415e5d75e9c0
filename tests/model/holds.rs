//! The rules of holds and orders without payments, and the counts of units, computed from the lists each time.
//!
//! Like [`crate::model`], it must not call the domain's methods. Next: [`crate::payments`].

use holdfast_common::command::NewProduct;
use holdfast_common::domain::{Hold, HoldState, Order, OrderState, Product, RefundStatus, Stock};
use holdfast_common::id::{HoldId, ProductId};
use holdfast_common::outcome::{Outcome, ProductAsOf, Refusal};

use crate::model::Model;

impl Model {
    pub(crate) fn create_hold(
        &mut self,
        id: HoldId,
        product_id: ProductId,
        quantity: u32,
        customer_id: Option<&String>,
    ) -> Result<Outcome, Refusal> {
        let product = self.find_product(product_id)?.clone();
        let (starts_at, ends_at) = (product.sale_starts_at, product.sale_ends_at);
        if starts_at.is_some_and(|start| self.now < start)
            || ends_at.is_some_and(|end| end <= self.now)
        {
            return Err(Refusal::SaleNotOpen { starts_at, ends_at });
        }
        let available_stock = self.available(product_id);
        if available_stock < i64::from(quantity) {
            return Err(Refusal::InsufficientStock { available_stock });
        }
        if let (Some(max_per_customer), Some(customer_id)) = (product.max_per_customer, customer_id)
        {
            let units = self.units_of(product_id, customer_id);
            if units + i64::from(quantity) > i64::from(max_per_customer) {
                return Err(Refusal::PurchaseLimitReached {
                    max_per_customer,
                    units,
                });
            }
        }
        let hold = Hold {
            id,
            product_id,
            quantity,
            customer_id: customer_id.cloned(),
            price_minor: product.price_minor,
            currency: product.currency,
            state: HoldState::Active,
            created_at: self.now,
            expires_at: self.now.plus_seconds(self.policy.hold_expiry_seconds),
            sequence: self
                .holds
                .iter()
                .filter(|hold| hold.product_id == product_id)
                .count() as i64
                + 1,
        };
        self.holds.push(hold.clone());
        Ok(Outcome::HoldCreated(hold))
    }

    pub(crate) fn release_hold(&mut self, id: HoldId) -> Result<Outcome, Refusal> {
        match self.hold(id).ok_or(Refusal::HoldNotFound)?.state {
            HoldState::Active => self.end_hold(id, HoldState::Released { at: self.now }),
            HoldState::Released { .. } => {}
            HoldState::Consumed { .. } => return Err(Refusal::HoldConsumed),
            HoldState::Expired { .. } => return Err(Refusal::HoldExpired),
        }
        Ok(Outcome::HoldReleased(self.hold(id).unwrap().clone()))
    }

    pub(crate) fn create_order(&mut self, id: HoldId) -> Result<Outcome, Refusal> {
        let hold = self.hold(id).ok_or(Refusal::HoldNotFound)?.clone();
        match hold.state {
            HoldState::Active => self.set_hold(id, HoldState::Consumed { at: self.now }),
            HoldState::Consumed { .. } => return Err(Refusal::HoldConsumed),
            HoldState::Released { .. } => return Err(Refusal::HoldReleased),
            HoldState::Expired { .. } => return Err(Refusal::HoldExpired),
        }
        self.orders.push(Order {
            id,
            product_id: hold.product_id,
            quantity: hold.quantity,
            customer_id: hold.customer_id,
            amount_minor: i64::from(hold.quantity) * hold.price_minor,
            currency: hold.currency,
            state: OrderState::PendingPayment,
            refund_status: RefundStatus::None,
            payment_due_at: self.now.plus_seconds(self.policy.order_payment_seconds),
            created_at: self.now,
        });
        self.settle_parked(id);
        Ok(Outcome::OrderCreated(Box::new(
            self.order_shown(id).unwrap(),
        )))
    }

    pub(crate) fn end_hold(&mut self, id: HoldId, state: HoldState) {
        self.set_hold(id, state);
        self.refund_parked(id);
    }

    fn set_hold(&mut self, id: HoldId, state: HoldState) {
        self.holds
            .iter_mut()
            .find(|hold| hold.id == id)
            .unwrap()
            .state = state;
    }
}

/// Counts.
impl Model {
    fn active_holds(&self, id: ProductId) -> impl Iterator<Item = &Hold> {
        self.holds
            .iter()
            .filter(move |hold| hold.product_id == id && hold.state == HoldState::Active)
    }

    fn live_orders(&self, id: ProductId) -> impl Iterator<Item = &Order> {
        let is_live = |order: &&Order| !matches!(order.state, OrderState::Cancelled { .. });
        self.orders
            .iter()
            .filter(move |order| order.product_id == id)
            .filter(is_live)
    }

    /// Units that are neither held nor sold.
    pub(crate) fn available(&self, id: ProductId) -> i64 {
        let total: i64 = self
            .products
            .iter()
            .filter(|p| p.product_id == id)
            .map(|p| p.total_stock)
            .sum();
        let taken = self
            .active_holds(id)
            .map(|hold| hold.quantity)
            .chain(self.live_orders(id).map(|o| o.quantity));
        total - taken.map(i64::from).sum::<i64>()
    }

    fn units_of(&self, id: ProductId, customer: &String) -> i64 {
        let held = self
            .active_holds(id)
            .filter(|hold| hold.customer_id.as_ref() == Some(customer));
        let ordered = self
            .live_orders(id)
            .filter(|order| order.customer_id.as_ref() == Some(customer));
        held.map(|hold| i64::from(hold.quantity))
            .chain(ordered.map(|order| i64::from(order.quantity)))
            .sum()
    }

    /// The product in outcomes and rows, with version 0: the model has no versions.
    pub(crate) fn product_shown(&self, product: &NewProduct) -> Product {
        let id = product.product_id;
        let is_sold = |order: &&Order| matches!(order.state, OrderState::Paid { .. });
        let sold = self
            .live_orders(id)
            .filter(is_sold)
            .map(|order| i64::from(order.quantity))
            .sum();
        let (total, available) = (product.total_stock, self.available(id));
        Product {
            id,
            name: product.name.clone(),
            price_minor: product.price_minor,
            currency: product.currency,
            stock: Stock::from_stored(total, available, total - available - sold, sold).unwrap(),
            holds_count: self.active_holds(id).count() as i64,
            max_per_customer: product.max_per_customer,
            sale_starts_at: product.sale_starts_at,
            sale_ends_at: product.sale_ends_at,
            hold_sequence: self
                .holds
                .iter()
                .filter(|hold| hold.product_id == id)
                .count() as i64,
            version: 0,
        }
    }

    pub(crate) fn product_as_of(&self, id: ProductId) -> Box<ProductAsOf> {
        let product = self
            .products
            .iter()
            .find(|product| product.product_id == id)
            .unwrap();
        Box::new(ProductAsOf {
            product: self.product_shown(product),
            as_of: self.now,
        })
    }
}
