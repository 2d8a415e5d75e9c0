//! One random sale: turns steps into commands, has them decided in batches as a worker does, and compares every answer
//! and every row with the model's.

use std::collections::BTreeMap;
use std::fmt::Debug;

use holdfast_common::command::{Action, Command, IdempotencyKey, NewProduct, PaymentNotice, ProductChange};
use holdfast_common::domain::{Changes, Decision, State, decide, expire_due};
use holdfast_common::id::{HoldId, ProductId, RequestId, Slot};
use holdfast_common::outcome::Outcome;
use holdfast_common::time::Timestamp;

use crate::audit::Auditor;
use crate::model::Model;
use crate::steps::{Amount, Change, Script, Step, UNKNOWN_PRODUCT};
use crate::tables::Tables;

const BEGINNING: Timestamp = Timestamp(1_000_000_000);
/// The product that shares its slot with product 1.
const SAME_SLOT: ProductId = ProductId(1258);
/// Holds are named by the step that makes them, so a step's number is its request's; others count on from here.
const PRODUCTS_FROM: u64 = 1_000_000;

/// Runs a script; the error says where Holdfast and the rules part.
pub(crate) fn run(script: &Script) -> Result<(), String> {
    let mut sale = Sale::open(script)?;
    for (number, step) in script.steps.iter().enumerate() {
        sale.step(number, step).map_err(|error| format!("step {number}, {step:?}: {error}"))?;
    }
    sale.end_batch().map_err(|error| format!("at the end: {error}"))
}

/// The customer of a number.
pub(crate) fn customer(number: u8) -> String {
    format!("c-{number}")
}

struct Sale<'a> {
    script: &'a Script,
    now: Timestamp,
    model: Model,
    tables: Tables,
    auditor: Auditor,
    /// The batch that is being decided.
    state: State,
    /// All commands so far.
    sent: Vec<Command>,
    /// The holds that the script makes or tries to, also those to come: a payment may be there first.
    holds: Vec<Wanted>,
}

/// A hold that a step asks for.
struct Wanted {
    id: HoldId,
    product: u8,
    quantity: u32,
}

impl<'a> Sale<'a> {
    /// Puts the products on sale, in a batch of their own.
    fn open(script: &'a Script) -> Result<Self, String> {
        let mut sale = Self {
            script,
            now: BEGINNING,
            model: Model::new(script.policy, BEGINNING),
            tables: Tables::default(),
            auditor: Auditor::default(),
            state: State::default(),
            sent: Vec::new(),
            holds: Vec::new(),
        };
        sale.holds = script.steps.iter().enumerate().filter_map(|(number, step)| sale.wanted(number, step)).collect();
        for (number, (total_stock, max_per_customer)) in script.products.into_iter().enumerate() {
            let new = NewProduct {
                product_id: sale.product(number as u8),
                name: format!("Lamp {number}"),
                price_minor: 100,
                currency: "USD".parse().unwrap(),
                total_stock,
                max_per_customer,
                sale_starts_at: None,
                sale_ends_at: None,
            };
            let request_id = RequestId::new(new.product_id.slot(), 0, PRODUCTS_FROM + number as u64);
            sale.send(Command { request_id, key: None, action: Action::CreateProduct(new) })?;
        }
        sale.end_batch()?;
        Ok(sale)
    }

    fn wanted(&self, number: usize, step: &Step) -> Option<Wanted> {
        match step.command() {
            Step::Hold { product, quantity, .. } => {
                let request = RequestId::new(self.product(*product).slot(), 0, number as u64);
                Some(Wanted { id: HoldId::of_request(request), product: *product, quantity: *quantity })
            }
            _ => None,
        }
    }

    fn step(&mut self, number: usize, step: &Step) -> Result<(), String> {
        match step {
            Step::Batch => self.end_batch(),
            Step::Wait { seconds } => {
                self.now = self.now.plus_seconds(*seconds);
                self.end_batch()
            }
            Step::Again { step } => self.send(self.earlier(*step)),
            Step::Repeat { step } => {
                let earlier = self.earlier(*step);
                let request_id = RequestId::new(earlier.slot(), 0, number as u64);
                self.send(Command { request_id, ..earlier })
            }
            Step::Keyed(key, step) => self.send_step(number, step, Some(*key)),
            step => self.send_step(number, step, None),
        }
    }

    fn send_step(&mut self, number: usize, step: &Step, key: Option<u8>) -> Result<(), String> {
        let (slot, action) = self.action(step);
        let key = key.map(|key| IdempotencyKey::new(&format!("key-{key}"), &action));
        self.send(Command { request_id: RequestId::new(slot, 0, number as u64), key, action })
    }

    fn earlier(&self, step: usize) -> Command {
        self.sent[step % self.sent.len()].clone()
    }

    /// Has a command decided, and compares the answer.
    fn send(&mut self, command: Command) -> Result<(), String> {
        let decision = decide(&mut self.state, &command, self.now, &self.script.policy);
        if let Some(expected) = self.model.apply(&command) {
            same("the answer", &without_version(decision.clone()), &expected)?;
            self.auditor.heard(&command, &decision)?;
        }
        self.sent.push(command);
        Ok(())
    }

    /// Writes what the batch changed, compares the tables, and begins the next batch.
    fn end_batch(&mut self) -> Result<(), String> {
        self.tables.write(Changes::from(std::mem::take(&mut self.state)))?;
        self.compare()?;
        self.state = self.tables.load();
        expire_due(&mut self.state, self.now);
        self.model.begin_batch(self.now);
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        let Self { model, tables, .. } = self;
        for expected in model.products.iter().map(|product| model.product_shown(product)) {
            let mut row = tables.products.get(&expected.id).cloned();
            row.iter_mut().for_each(|row| row.version = 0);
            same("the product", &row, &Some(expected))?;
        }
        let holds: BTreeMap<_, _> = model.holds.iter().map(|hold| (hold.id, hold)).collect();
        same("the holds", &tables.holds.iter().map(|(id, hold)| (*id, hold)).collect(), &holds)?;
        let orders = model.orders.iter().map(|order| (order.id, model.order_shown(order.id).unwrap())).collect();
        same("the orders", &tables.orders, &orders)?;
        let key = |id: HoldId, name: &String| (id, name.clone());
        let payments = model.payments.iter().map(|p| (key(p.order_id, &p.payment_id), p.clone())).collect();
        same("the payments", &tables.payments, &payments)?;
        self.auditor.check(tables)
    }

    fn product(&self, number: u8) -> ProductId {
        match number {
            0 => ProductId(1),
            1 if self.script.same_slot => SAME_SLOT,
            number => ProductId(i64::from(number) + 1),
        }
    }

    /// What a step wishes for, and in which slot. A script without holds speaks of one that never was.
    fn action(&self, step: &Step) -> (Slot, Action) {
        let of_product = |number: &u8| (self.product(*number), self.product(*number).slot());
        let nothing = Wanted { id: HoldId::new(ProductId(1).slot(), 0, 0), product: UNKNOWN_PRODUCT, quantity: 1 };
        let hold = |number: &usize| match self.holds.len() {
            0 => &nothing,
            count => &self.holds[number % count],
        };
        match step {
            Step::Hold { product, quantity, customer: number } => {
                let (product_id, slot) = of_product(product);
                let customer_id = number.map(customer);
                (slot, Action::CreateHold { product_id, quantity: *quantity, customer_id })
            }
            Step::Release { hold: number } => {
                (hold(number).id.slot(), Action::ReleaseHold { hold_id: hold(number).id })
            }
            Step::Order { hold: number } => (hold(number).id.slot(), Action::CreateOrder { hold_id: hold(number).id }),
            Step::Pay { hold: number, payment, succeeded, amount } => {
                let notice = self.notice(hold(number), *payment, *succeeded, *amount);
                (hold(number).id.slot(), Action::SettlePayment(notice))
            }
            Step::AdvanceRefund { hold: number, payment, to } => {
                let (order_id, payment_id) = (hold(number).id, payment_id(*payment));
                (order_id.slot(), Action::AdvanceRefund { order_id, payment_id, to: *to })
            }
            Step::Restock { product, quantity } => {
                let (product_id, slot) = of_product(product);
                (slot, Action::Restock { product_id, quantity: *quantity })
            }
            Step::Change { product, to } => {
                let (product_id, slot) = of_product(product);
                (slot, Action::ChangeProduct { product_id, change: change(*to) })
            }
            Step::ExpireDue => (ProductId(1).slot(), Action::ExpireDue),
            Step::Keyed(..) | Step::Again { .. } | Step::Repeat { .. } | Step::Batch | Step::Wait { .. } => {
                unreachable!("{step:?} wishes for nothing of its own")
            }
        }
    }

    fn notice(&self, hold: &Wanted, payment: u8, succeeded: bool, amount: Amount) -> PaymentNotice {
        // The hold's price, or what it would be if it were made now.
        let made = self.model.hold(hold.id).map(|hold| (hold.price_minor, hold.currency));
        let offered = || {
            let product = self.model.products.iter().find(|product| product.product_id == self.product(hold.product));
            product.map(|product| (product.price_minor, product.currency))
        };
        let (price, right) = made.or_else(offered).unwrap_or_else(|| (100, "USD".parse().unwrap()));
        let due = price * i64::from(hold.quantity);
        let (amount_minor, currency) = match amount {
            Amount::Right => (Some(due), Some(right)),
            Amount::Less => (Some(due - 1), Some(right)),
            Amount::OtherCurrency => (Some(due), Some("JPY".parse().unwrap())),
            Amount::Unsaid => (None, None),
        };
        PaymentNotice { order_id: hold.id, payment_id: payment_id(payment), succeeded, amount_minor, currency }
    }
}

fn payment_id(number: u8) -> String {
    format!("pay-{number}")
}

fn change(to: Change) -> ProductChange {
    let time = |seconds: Option<u32>| Some(seconds.map(|seconds| BEGINNING.plus_seconds(seconds)));
    match to {
        Change::Price(price) => ProductChange { price_minor: Some(price), ..Default::default() },
        Change::Currency(code) => ProductChange { currency: Some(code.parse().unwrap()), ..Default::default() },
        Change::Limit(limit) => ProductChange { max_per_customer: Some(limit), ..Default::default() },
        Change::Window(starts, ends) => {
            ProductChange { sale_starts_at: time(starts), sale_ends_at: time(ends), ..Default::default() }
        }
    }
}

/// The model knows no versions; that they rise is checked in the tables.
fn without_version(mut decision: Decision) -> Decision {
    if let Outcome::ProductCreated(shown) | Outcome::ProductChanged(shown) = &mut decision.outcome {
        shown.product.version = 0;
    }
    decision
}

fn same<T: Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}\n    is        {found:?}\n    should be {expected:?}")) }
}
