//! One random sale: decides the commands of its steps in batches, as a worker does, and compares each outcome and each row
//! with the model's. After each batch the tables are written and loaded again, so only rows survive a batch. Next:
//! [`crate::commands`] translates steps, [`crate::model`] has the rules.

use std::collections::BTreeMap;
use std::fmt::Debug;

use holdfast_common::command::{Action, Command, IdempotencyKey, NewProduct};
use holdfast_common::domain::{Changes, Decision, State, decide, expire_due};
use holdfast_common::id::{HoldId, RequestId};
use holdfast_common::outcome::Outcome;
use holdfast_common::time::Timestamp;

use crate::audit::Auditor;
use crate::commands::RequestedHold;
use crate::model::Model;
use crate::seen::Seen;
use crate::steps::{Script, Step};
use crate::tables::Tables;
use crate::trail::Trail;

/// The start of every script.
pub(crate) const BEGINNING: Timestamp = Timestamp(1_000_000_000);
/// A step's number is the number of its request. The requests that create products have numbers from here on.
const PRODUCTS_FROM: u64 = 1_000_000;

/// Runs a script. The error is the first difference between Holdfast and the model.
pub(crate) fn run(script: &Script, seen: &Seen) -> Result<(), String> {
    let mut sale = Sale::open(script, seen)?;
    for (number, step) in script.steps.iter().enumerate() {
        sale.step(number, step)
            .map_err(|error| format!("step {number}, {step:?}: {error}"))?;
    }
    sale.end_batch()
        .map_err(|error| format!("at the end: {error}"))
}

/// A running script.
pub(crate) struct Sale<'a> {
    pub(crate) script: &'a Script,
    seen: &'a Seen,
    now: Timestamp,
    pub(crate) model: Model,
    tables: Tables,
    auditor: Auditor,
    trail: Trail,
    /// The state of the present batch.
    state: State,
    /// All commands so far.
    sent: Vec<Command>,
    /// All holds that the script asks for, also those of later steps: a payment may come first.
    pub(crate) holds: Vec<RequestedHold>,
}

impl<'a> Sale<'a> {
    /// Creates the products, in a batch of their own.
    fn open(script: &'a Script, seen: &'a Seen) -> Result<Self, String> {
        let mut sale = Self {
            script,
            seen,
            now: BEGINNING,
            model: Model::new(script.policy, BEGINNING),
            tables: Tables::default(),
            auditor: Auditor::default(),
            trail: Trail::default(),
            state: State::default(),
            sent: Vec::new(),
            holds: Vec::new(),
        };
        sale.holds = script
            .steps
            .iter()
            .enumerate()
            .filter_map(|(number, step)| sale.requested_hold(number, step))
            .collect();
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
            let request_id =
                RequestId::new(new.product_id.slot(), 0, PRODUCTS_FROM + number as u64);
            sale.send(Command {
                request_id,
                key: None,
                action: Action::CreateProduct(new),
            })?;
        }
        sale.end_batch()?;
        Ok(sale)
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
                self.send(Command {
                    request_id,
                    ..earlier
                })
            }
            Step::Keyed(key, step) => self.send_step(number, step, Some(*key)),
            step => self.send_step(number, step, None),
        }
    }

    fn send_step(&mut self, number: usize, step: &Step, key: Option<u8>) -> Result<(), String> {
        let (slot, action) = self.action(step);
        let key = key.map(|key| IdempotencyKey::new(&format!("key-{key}"), &action));
        self.send(Command {
            request_id: RequestId::new(slot, 0, number as u64),
            key,
            action,
        })
    }

    fn earlier(&self, step: usize) -> Command {
        self.sent[step % self.sent.len()].clone()
    }

    /// Decides a command, and compares the decision.
    fn send(&mut self, command: Command) -> Result<(), String> {
        let decision = decide(&mut self.state, &command, self.now, &self.script.policy);
        let expected = self.model.apply(&command);
        same(
            "the decision",
            &without_version(decision.clone()),
            &expected,
        )?;
        if !command.action.is_internal() {
            self.auditor.record(&command, &decision)?;
            self.seen.record(&decision);
        }
        self.sent.push(command);
        Ok(())
    }

    /// Writes the changes of the batch, compares the tables, and begins the next batch.
    fn end_batch(&mut self) -> Result<(), String> {
        let changes = Changes::from(std::mem::take(&mut self.state));
        self.trail.apply(&changes, &self.tables)?;
        self.tables.write(changes)?;
        self.trail.compare(&self.tables)?;
        self.compare()?;
        self.state = self.tables.load();
        expire_due(&mut self.state, self.now);
        self.model.begin_batch(self.now);
        Ok(())
    }

    fn compare(&self) -> Result<(), String> {
        let Self { model, tables, .. } = self;
        for expected in model
            .products
            .iter()
            .map(|product| model.product_shown(product))
        {
            let mut row = tables.products.get(&expected.id).cloned();
            row.iter_mut().for_each(|row| row.version = 0);
            same("the product", &row, &Some(expected))?;
        }
        let holds: BTreeMap<_, _> = model.holds.iter().map(|hold| (hold.id, hold)).collect();
        same(
            "the holds",
            &tables.holds.iter().map(|(id, hold)| (*id, hold)).collect(),
            &holds,
        )?;
        let orders = model
            .orders
            .iter()
            .map(|order| (order.id, model.order_shown(order.id).unwrap()))
            .collect();
        same("the orders", &tables.orders, &orders)?;
        let key = |id: HoldId, name: &String| (id, name.clone());
        let payments = model
            .payments
            .iter()
            .map(|p| (key(p.order_id, &p.payment_id), p.clone()))
            .collect();
        same("the payments", &tables.payments, &payments)?;
        self.auditor.check(tables)
    }
}

/// The model has no versions. `audit` checks that versions rise.
fn without_version(mut decision: Decision) -> Decision {
    if let Outcome::ProductCreated(shown) | Outcome::ProductChanged(shown) = &mut decision.outcome {
        shown.product.version = 0;
    }
    decision
}

fn same<T: Debug + PartialEq>(what: &str, found: &T, expected: &T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!(
            "{what}\n    is        {found:?}\n    should be {expected:?}"
        ))
    }
}
