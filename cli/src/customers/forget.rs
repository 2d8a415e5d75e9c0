//! `holdfast customers forget`: erases a customer from holds, orders, outcomes and dead letters that have ended.
//!
//! Holds lose their customer by commands in the log, so that no running batch writes the customer back. Outcomes are copies.
//! They are erased after these commands, and again when every batch that may have read an older outcome has committed.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use holdfast_common::command::Action;
use holdfast_common::id::HoldId;
use holdfast_common::log::internal;
use holdfast_common::settings::NatsSettings;
use holdfast_ingress::store::positions;
use holdfast_workers::store::forgetting;
use serde_json::json;
use sqlx::PgPool;
use sqlx::types::Uuid;

use super::rows::CustomerRows;
use crate::exit::Verdict;
use crate::options::StoreAndLog;
use crate::output::ResultOutput;
use crate::store::customers::CustomerHold;
use crate::submit::{CommandLog, wait_until_applied};

#[derive(Args)]
pub(super) struct Options {
    /// The `customer_id` of the customer's requests
    customer: String,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    connections: StoreAndLog,
}

/// Rows without the customer now, and rows that must end first.
struct ForgetResult {
    holds: usize,
    outcomes: u64,
    dead_letters: u64,
    waiting_holds: Vec<Uuid>,
    waiting_dead_letters: Vec<i64>,
}

pub(super) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let StoreAndLog { store, nats } = &options.connections;
    let (pool, keys) = store.open("holdfast-customers").await?;
    let rows = CustomerRows::new(&pool, &keys, &options.customer)?;
    let log = CommandLog::connect(nats, &keys).await?;
    let result = forget(&rows, &pool, &log, nats).await?;
    let document = json!({
        "forgotten": {
            "holds": result.holds, "outcomes": result.outcomes, "dead_letters": result.dead_letters,
        },
        "waiting": {"holds": result.waiting_holds, "dead_letters": result.waiting_dead_letters},
    });
    options.output.print(&document, &text(&result));
    let is_waiting = !result.waiting_holds.is_empty() || !result.waiting_dead_letters.is_empty();
    Ok(Verdict::needs_action_if(is_waiting))
}

async fn forget(
    rows: &CustomerRows<'_>,
    pool: &PgPool,
    log: &CommandLog<'_>,
    nats: &NatsSettings,
) -> anyhow::Result<ForgetResult> {
    let holds = rows.holds().await?;
    let ended = holds.iter().filter(|hold| hold.has_ended);
    let ended: Vec<HoldId> = ended.map(CustomerHold::id).collect::<Result<_, _>>()?;
    submit(log, pool, nats, &ended).await?;
    let mut outcomes = erase_outcomes(rows, pool).await?;

    // A batch that had read an outcome before this may have written a copy after it. A command to each partition is applied
    // after every such batch.
    let barrier = |partition| HoldId::new(*nats.partitions.slots(partition).start(), 0, 0);
    let barriers: Vec<_> = nats.partitions.all().map(barrier).collect();
    submit(log, pool, nats, &barriers).await?;
    outcomes += erase_outcomes(rows, pool).await?;

    let letters = rows.letters().await?;
    let (waiting, settled): (Vec<_>, Vec<_>) = letters
        .iter()
        .partition(|letter| letter.settled_at.is_none());
    let settled: Vec<i64> = settled.iter().map(|letter| letter.dead_letter_id).collect();
    let dead_letters = forgetting::letters(pool, &settled).await?;

    // Holds may have ended or begun meanwhile. Those that name the customer now have to wait.
    let waiting_holds: Vec<Uuid> = rows
        .holds()
        .await?
        .iter()
        .map(|hold| hold.hold_id)
        .collect();
    let forgotten = holds
        .iter()
        .filter(|hold| !waiting_holds.contains(&hold.hold_id));
    Ok(ForgetResult {
        holds: forgotten.count(),
        outcomes,
        dead_letters,
        waiting_holds,
        waiting_dead_letters: waiting.iter().map(|letter| letter.dead_letter_id).collect(),
    })
}

/// Removes the customer of these holds, and waits until workers have applied that. An unknown hold has no effect.
async fn submit(
    log: &CommandLog<'_>,
    pool: &PgPool,
    nats: &NatsSettings,
    holds: &[HoldId],
) -> anyhow::Result<()> {
    let mut published = BTreeMap::new();
    for hold_id in holds {
        let action = Action::ForgetCustomer { hold_id: *hold_id };
        let seq = log
            .publish(&internal::command(hold_id.slot(), action))
            .await?;
        published.insert(nats.partitions.of(hold_id.slot()), seq);
    }
    wait_until_applied(async || {
        let positions: BTreeMap<_, _> = positions(pool).await?.into_iter().collect();
        let is_applied = |(partition, seq): (_, &u64)| {
            let position = positions.get(partition);
            position.is_some_and(|position| position.applied_seq >= *seq)
        };
        Ok(published.iter().all(is_applied).then_some(()))
    })
    .await
}

/// Erases the customer from outcomes, except those of holds that still name the customer. Returns the number of outcomes.
async fn erase_outcomes(rows: &CustomerRows<'_>, pool: &PgPool) -> anyhow::Result<u64> {
    let holds = rows.holds().await?;
    let active: BTreeSet<Uuid> = holds.iter().map(|hold| hold.hold_id).collect();
    let outcomes = rows.outcomes().await?.into_iter();
    let ended: Vec<_> = outcomes
        .filter(|(_, hold, _)| !active.contains(hold))
        .map(|(stored, ..)| (stored.slot, stored.request_id))
        .collect();
    Ok(forgetting::outcomes(pool, &ended).await?)
}

fn text(result: &ForgetResult) -> String {
    let mut text = format!(
        "erased the customer from {} holds and their orders, {} outcomes and {} dead letters",
        result.holds, result.outcomes, result.dead_letters
    );
    for id in &result.waiting_holds {
        text += &format!(
            "\nhold {id} or its order is still active: run this command again when it has ended"
        );
    }
    for id in &result.waiting_dead_letters {
        text +=
            &format!("\ndead letter {id} is open: retry or drop it, then run this command again");
    }
    text
}
