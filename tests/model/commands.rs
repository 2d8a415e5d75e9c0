//! Translates steps into commands.
//!
//! It reads the model only for the right amount of a payment. It contains no rule.

use holdfast_common::command::{Action, PaymentNotice, ProductChange};
use holdfast_common::id::{HoldId, ProductId, RequestId, Slot};

use crate::sale::{BEGINNING, Sale};
use crate::steps::{Amount, Change, Step, UNKNOWN_PRODUCT};

/// The product that shares its slot with product 1.
const SAME_SLOT: ProductId = ProductId(1258);

pub(crate) fn customer(number: u8) -> String {
    format!("c-{number}")
}

/// A hold that a step asks for.
pub(crate) struct RequestedHold {
    pub(crate) id: HoldId,
    product: u8,
    quantity: u32,
}

impl Sale<'_> {
    /// The hold that a step asks for.
    pub(crate) fn requested_hold(&self, number: usize, step: &Step) -> Option<RequestedHold> {
        match step.command() {
            Step::Hold {
                product, quantity, ..
            } => {
                let request = RequestId::new(self.product(*product).slot(), 0, number as u64);
                Some(RequestedHold {
                    id: HoldId::of_request(request),
                    product: *product,
                    quantity: *quantity,
                })
            }
            _ => None,
        }
    }

    pub(crate) fn product(&self, number: u8) -> ProductId {
        match number {
            0 => ProductId(1),
            1 if self.script.same_slot => SAME_SLOT,
            number => ProductId(i64::from(number) + 1),
        }
    }

    /// The slot and the action of a step. In a script without holds, steps name a hold that does not exist.
    pub(crate) fn action(&self, step: &Step) -> (Slot, Action) {
        let of_product = |number: &u8| (self.product(*number), self.product(*number).slot());
        let nothing = RequestedHold {
            id: HoldId::new(ProductId(1).slot(), 0, 0),
            product: UNKNOWN_PRODUCT,
            quantity: 1,
        };
        let hold = |number: &usize| match self.holds.len() {
            0 => &nothing,
            count => &self.holds[number % count],
        };
        match step {
            Step::Hold {
                product,
                quantity,
                customer: number,
            } => {
                let (product_id, slot) = of_product(product);
                let customer_id = number.map(customer);
                (
                    slot,
                    Action::CreateHold {
                        product_id,
                        quantity: *quantity,
                        customer_id,
                    },
                )
            }
            Step::Release { hold: number } => (
                hold(number).id.slot(),
                Action::ReleaseHold {
                    hold_id: hold(number).id,
                },
            ),
            Step::Order { hold: number } => (
                hold(number).id.slot(),
                Action::CreateOrder {
                    hold_id: hold(number).id,
                },
            ),
            Step::Pay {
                hold: number,
                payment,
                succeeded,
                amount,
            } => {
                let notice = self.notice(hold(number), *payment, *succeeded, *amount);
                (hold(number).id.slot(), Action::SettlePayment(notice))
            }
            Step::AdvanceRefund {
                hold: number,
                payment,
                to,
            } => {
                let (order_id, payment_id) = (hold(number).id, payment_id(*payment));
                (
                    order_id.slot(),
                    Action::AdvanceRefund {
                        order_id,
                        payment_id,
                        to: *to,
                    },
                )
            }
            Step::Restock { product, quantity } => {
                let (product_id, slot) = of_product(product);
                (
                    slot,
                    Action::Restock {
                        product_id,
                        quantity: *quantity,
                    },
                )
            }
            Step::Change { product, to } => {
                let (product_id, slot) = of_product(product);
                (
                    slot,
                    Action::ChangeProduct {
                        product_id,
                        change: change(*to),
                    },
                )
            }
            Step::ExpireDue => (ProductId(1).slot(), Action::ExpireDue),
            Step::Keyed(..)
            | Step::Again { .. }
            | Step::Repeat { .. }
            | Step::Batch
            | Step::Wait { .. } => {
                unreachable!("{step:?} has no action of its own")
            }
        }
    }

    fn notice(
        &self,
        hold: &RequestedHold,
        payment: u8,
        succeeded: bool,
        amount: Amount,
    ) -> PaymentNotice {
        // The hold's price, or the product's present price.
        let held = self
            .model
            .hold(hold.id)
            .map(|hold| (hold.price_minor, hold.currency));
        let offered = || {
            let product = self
                .model
                .products
                .iter()
                .find(|product| product.product_id == self.product(hold.product));
            product.map(|product| (product.price_minor, product.currency))
        };
        let (price, right) = held
            .or_else(offered)
            .unwrap_or_else(|| (100, "USD".parse().unwrap()));
        let due = price * i64::from(hold.quantity);
        let (amount_minor, currency) = match amount {
            Amount::Right => (Some(due), Some(right)),
            Amount::Less => (Some(due - 1), Some(right)),
            Amount::OtherCurrency => (Some(due), Some("JPY".parse().unwrap())),
            Amount::Missing => (None, None),
        };
        PaymentNotice {
            order_id: hold.id,
            payment_id: payment_id(payment),
            succeeded,
            amount_minor,
            currency,
        }
    }
}

fn payment_id(number: u8) -> String {
    format!("pay-{number}")
}

fn change(to: Change) -> ProductChange {
    let time = |seconds: Option<u32>| Some(seconds.map(|seconds| BEGINNING.plus_seconds(seconds)));
    match to {
        Change::Price(price) => ProductChange {
            price_minor: Some(price),
            ..Default::default()
        },
        Change::Currency(code) => ProductChange {
            currency: Some(code.parse().unwrap()),
            ..Default::default()
        },
        Change::Limit(limit) => ProductChange {
            max_per_customer: Some(limit),
            ..Default::default()
        },
        Change::Window(starts, ends) => ProductChange {
            sale_starts_at: time(starts),
            sale_ends_at: time(ends),
            ..Default::default()
        },
    }
}
