//! `holdfast customers`: what is known of a customer, and forgetting it.
//!
//! What has ended is forgotten by commands in the log, one a hold, so that no batch that is under way can write the name
//! back. Outcomes are copies of it: they are erased behind those commands, and once more when every batch that may have
//! read one before has been committed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use clap::{Args, Subcommand};
use holdfast_common::command::{Action, CUSTOMER_CHARS_MAX};
use holdfast_common::encryption::{Keyring, Kind};
use holdfast_common::id::{HoldId, SLOTS};
use holdfast_common::log::internal;
use holdfast_common::outcome::Outcome;
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use holdfast_ingress::http::audit_view::EntryView;
use holdfast_ingress::store::audit::{self, Of};
use holdfast_ingress::store::dead_letters::{self, ListedLetter};
use holdfast_ingress::store::positions;
use holdfast_workers::store::forgetting;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::types::Uuid;

use crate::exit::{self, Found};
use crate::store;
use crate::store::customers::{self, Held, Told};
use crate::submit::{CommandLog, wait_until_applied};

/// How many slots one statement looks through.
const SLOTS_AT_ONCE: u16 = 64;
/// The most holds of one customer that are dealt with.
const HOLDS_MAX: usize = 100_000;
/// The most changes of one hold that are told.
const CHANGES_MAX: i64 = 1000;
/// How many dead letters are read at once.
const LETTERS_PAGE: i64 = 500;

/// What `customers` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print everything about a customer as one JSON document
    #[command(after_help = exit::HELP)]
    Export(Export),
    /// Take a customer off everything that has ended; says what has to wait, since it is still active
    #[command(after_help = exit::HELP)]
    Forget(Forget),
}

#[derive(Args)]
struct Export {
    /// The customer, as `customer_id` named it
    customer: String,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
}

#[derive(Args)]
struct Forget {
    /// The customer, as `customer_id` named it
    customer: String,
    /// Tell what was forgotten and what has to wait as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    match options.command {
        Command::Export(options) => export(options).await,
        Command::Forget(options) => forget(options).await,
    }
}

/// A customer in the tables.
struct Customer<'c> {
    pool: &'c PgPool,
    keys: &'c Keyring,
    id: &'c str,
}

impl Customer<'_> {
    async fn holds(&self) -> anyhow::Result<Vec<Held>> {
        let (index, progress) = (
            self.keys.index(Kind::CustomerId, self.id),
            ProgressBar::new(SLOTS.into()),
        );
        let mut held = Vec::new();
        for first in (0..SLOTS).step_by(usize::from(SLOTS_AT_ONCE)) {
            let slots = first..=first + SLOTS_AT_ONCE - 1;
            held.extend(customers::holds(self.pool, slots, &index).await?);
            if held.len() > HOLDS_MAX {
                bail!("this customer has more than {HOLDS_MAX} holds: that is no buyer");
            }
            progress.set_position((first + SLOTS_AT_ONCE).into());
        }
        progress.finish_and_clear();
        Ok(held)
    }

    /// The outcomes that name the customer, each with its hold and in plain text.
    async fn outcomes(&self) -> anyhow::Result<Vec<(Told, Uuid, Outcome)>> {
        let (mut found, mut after) = (Vec::new(), (-1, Uuid::nil()));
        loop {
            let page = customers::outcomes(self.pool, after).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = (last.slot, last.request_id);
            for told in page {
                let outcome = self.keys.open_outcome(told.outcome.0.clone())?;
                let (hold, customer) = match &outcome {
                    Outcome::HoldCreated(hold) | Outcome::HoldReleased(hold) => {
                        (hold.id, &hold.customer_id)
                    }
                    Outcome::OrderCreated(order) => (order.id, &order.customer_id),
                    _ => continue,
                };
                if customer.as_deref() == Some(self.id) {
                    found.push((told, hold.uuid(), outcome));
                }
            }
        }
    }

    /// Takes the customer out of outcomes, but for those of holds that are still active; says of how many.
    async fn erase_outcomes(&self) -> anyhow::Result<u64> {
        let active: BTreeSet<Uuid> = self
            .holds()
            .await?
            .into_iter()
            .map(|hold| hold.hold_id)
            .collect();
        let told = self
            .outcomes()
            .await?
            .into_iter()
            .filter(|(_, hold, _)| !active.contains(hold));
        let told: Vec<_> = told
            .map(|(told, ..)| (told.slot, told.request_id))
            .collect();
        Ok(forgetting::outcomes(self.pool, &told).await?)
    }

    /// The dead letters whose command names the customer.
    async fn letters(&self) -> anyhow::Result<Vec<ListedLetter>> {
        let (mut found, mut after) = (Vec::new(), 0);
        loop {
            let page = dead_letters::list(self.pool, true, after, LETTERS_PAGE).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after = last.dead_letter_id;
            found.extend(page.into_iter().filter(|letter| self.is_named_by(letter)));
        }
    }

    fn is_named_by(&self, letter: &ListedLetter) -> bool {
        let action = letter.command(self.keys).map(|command| command.action);
        matches!(action, Some(Action::CreateHold { customer_id: Some(id), .. }) if id == self.id)
    }
}

/// Holds by their slots.
fn by_slot(held: &[Held]) -> BTreeMap<i16, Vec<Uuid>> {
    let mut slots: BTreeMap<i16, Vec<Uuid>> = BTreeMap::new();
    held.iter()
        .for_each(|hold| slots.entry(hold.slot).or_default().push(hold.hold_id));
    slots
}

async fn export(options: Export) -> anyhow::Result<Found> {
    let Export {
        customer,
        postgres,
        encryption,
    } = options;
    let (pool, keys) = store::open_sealed(&postgres, &encryption, "holdfast-customers").await?;
    let customer = Customer {
        pool: &pool,
        keys: &keys,
        id: named(&customer)?,
    };
    let held = customer.holds().await?;
    let (mut orders, mut payments, mut changes) = (Vec::new(), Vec::new(), Vec::new());
    for (slot, holds) in by_slot(&held) {
        orders.extend(customers::orders(&pool, &keys, slot, &holds).await?);
        payments.extend(customers::payments(&pool, &keys, slot, &holds).await?);
        for hold in holds {
            let hold = Of::Hold(HoldId::from_uuid(hold)?);
            changes.extend(
                audit::list(&pool, hold, (0, 0), CHANGES_MAX)
                    .await?
                    .into_iter()
                    .map(EntryView::from),
            );
        }
    }
    let outcomes = customer.outcomes().await?.into_iter().map(
        |(told, _, outcome)| json!({"request_id": told.request_id, "replayed": told.replayed, "outcome": outcome}),
    );
    let outcomes: Vec<Value> = outcomes.collect();
    let letters = customer.letters().await?;
    let document = json!({
        "customer_id": customer.id,
        "holds": held.into_iter().map(|hold| hold.document).collect::<Vec<_>>(),
        "orders": orders,
        "payments": payments,
        "outcomes": outcomes,
        "dead_letters": letters.iter().map(|letter| letter_document(letter, &keys)).collect::<Vec<_>>(),
        "audit": changes,
    });
    println!("{document:#}");
    Ok(Found::Nothing)
}

fn letter_document(letter: &ListedLetter, keys: &Keyring) -> Value {
    json!({
        "id": letter.dead_letter_id, "status": letter.status(), "failed_at": letter.failed_at,
        "command": letter.command(keys).map(|command| command.action),
    })
}

/// What no request can have named is no customer.
fn named(customer: &str) -> anyhow::Result<&str> {
    let chars = customer.chars().count();
    if !(1..=CUSTOMER_CHARS_MAX).contains(&chars) || customer.chars().any(char::is_control) {
        bail!("a customer is named by 1 to {CUSTOMER_CHARS_MAX} printable characters");
    }
    Ok(customer)
}

async fn forget(options: Forget) -> anyhow::Result<Found> {
    let Forget {
        customer,
        json,
        postgres,
        encryption,
        nats,
    } = options;
    let (pool, keys) = store::open_sealed(&postgres, &encryption, "holdfast-customers").await?;
    let customer = Customer {
        pool: &pool,
        keys: &keys,
        id: named(&customer)?,
    };
    let held = customer.holds().await?;
    let ended: Vec<HoldId> = held
        .iter()
        .filter(|hold| hold.has_ended)
        .map(Held::id)
        .collect::<Result<_, _>>()?;
    let log = CommandLog::connect(&nats, &keys).await?;
    ask(&log, &pool, &nats, &ended).await?;
    let mut outcomes = customer.erase_outcomes().await?;
    // A batch that had read an outcome before may have written a copy behind us. When every partition has applied
    // something that was said after that, no such batch is left.
    let first_of = |partition| HoldId::new(*nats.partitions.slots(partition).start(), 0, 0);
    ask(
        &log,
        &pool,
        &nats,
        &nats.partitions.all().map(first_of).collect::<Vec<_>>(),
    )
    .await?;
    outcomes += customer.erase_outcomes().await?;
    let letters = customer.letters().await?;
    let (waiting, settled): (Vec<_>, Vec<_>) = letters
        .iter()
        .partition(|letter| letter.settled_at.is_none());
    let settled: Vec<i64> = settled
        .into_iter()
        .map(|letter| letter.dead_letter_id)
        .collect();
    let dead_letters = forgetting::letters(&pool, &settled).await?;
    // Whatever has become of it meanwhile: what names the customer now has to wait.
    let left = customer.holds().await?;
    let forgotten = held
        .iter()
        .filter(|hold| left.iter().all(|left| left.hold_id != hold.hold_id))
        .count();
    let active: Vec<Uuid> = left.iter().map(|hold| hold.hold_id).collect();
    let waiting: Vec<i64> = waiting
        .into_iter()
        .map(|letter| letter.dead_letter_id)
        .collect();
    if json {
        let told = json!({
            "forgotten": {"holds": forgotten, "outcomes": outcomes, "dead_letters": dead_letters},
            "waiting": {"holds": active, "dead_letters": waiting},
        });
        println!("{told}");
    } else {
        println!(
            "forgotten in {forgotten} holds and their orders, {outcomes} outcomes and {dead_letters} dead letters"
        );
        active.iter().for_each(|id| {
            println!("hold {id} or its order is active: run this again when it has ended")
        });
        waiting.iter().for_each(|id| {
            println!("dead letter {id} waits: retry or drop it, and run this again")
        });
    }
    Ok(Found::something_if(
        !active.is_empty() || !waiting.is_empty(),
    ))
}

/// Has holds lose their customer, and waits until that is done. A hold that is not there loses nothing.
async fn ask(
    log: &CommandLog<'_>,
    pool: &PgPool,
    nats: &NatsSettings,
    holds: &[HoldId],
) -> anyhow::Result<()> {
    let mut until = BTreeMap::new();
    for hold_id in holds {
        let command =
            internal::command(hold_id.slot(), Action::ForgetCustomer { hold_id: *hold_id });
        until.insert(
            nats.partitions.of(hold_id.slot()),
            log.publish(&command).await?,
        );
    }
    wait_until_applied(async || {
        let at: BTreeMap<_, _> = positions(pool).await?.into_iter().collect();
        let is_applied = |(partition, seq): (_, &u64)| {
            at.get(partition).is_some_and(|at| at.applied_seq >= *seq)
        };
        Ok(until.iter().all(is_applied).then_some(()))
    })
    .await
}
