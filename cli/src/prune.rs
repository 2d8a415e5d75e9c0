//! `holdfast prune`: removes rows that are past their retention time at once. Workers do the same once a day.

use std::time::Duration;

use clap::Args;
use holdfast_common::id::SLOTS;
use holdfast_common::settings::{HoldSettings, PostgresSettings, RetentionSettings};
use holdfast_workers::store::retention::RetentionAges;
use holdfast_workers::upkeep::retention::{Pruned, prune};
use indicatif::ProgressBar;

use crate::exit;
use crate::output::ResultOutput;
use crate::store;

#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    holds: HoldSettings,
    #[command(flatten)]
    retention: RetentionSettings,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let pool = store::open(&options.postgres, "holdfast-prune").await?;
    let progress = ProgressBar::new(SLOTS.into());
    let done = |slots: u16| progress.set_position(slots.into());
    let ages = RetentionAges::new(&options.holds, &options.retention);
    let pruned = prune(&pool, ages, Duration::ZERO, done).await?;
    progress.finish_and_clear();
    options
        .output
        .print(&serde_json::to_value(pruned)?, &text(&pruned));
    Ok(())
}

fn text(pruned: &Pruned) -> String {
    let Pruned {
        keys,
        outcomes,
        holds,
        dead_letters,
        audit,
        events,
        customers,
    } = pruned;
    format!(
        "removed {keys} idempotency keys, {outcomes} outcomes, {holds} holds, {dead_letters} dead letters, {events} events \
         and {audit} audit rows; removed the customer of {customers} orders and holds"
    )
}
