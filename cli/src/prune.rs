//! `holdfast prune`: removes what has ended long ago, now instead of within a day.

use std::time::Duration;

use clap::Args;
use holdfast_common::id::SLOTS;
use holdfast_common::settings::{HoldSettings, PostgresSettings, RetentionSettings};
use holdfast_workers::store::retention::Ages;
use holdfast_workers::upkeep::retention::{Pruned, prune};
use indicatif::ProgressBar;

use crate::store;

/// What `prune` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    holds: HoldSettings,
    #[command(flatten)]
    retention: RetentionSettings,
    /// Tell what was removed as JSON
    #[arg(long)]
    json: bool,
}

/// Prunes every slot.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let pool = store::open(&options.postgres, "holdfast-prune").await?;
    let progress = ProgressBar::new(SLOTS.into());
    let done = |slots: u16| progress.set_position(slots.into());
    let pruned = prune(
        &pool,
        Ages::new(&options.holds, &options.retention),
        Duration::ZERO,
        done,
    )
    .await?;
    progress.finish_and_clear();
    if options.json {
        println!("{}", serde_json::to_string(&pruned)?);
    } else {
        let Pruned {
            keys,
            outcomes,
            holds,
            dead_letters,
            audit,
            events,
            customers,
        } = pruned;
        println!(
            "removed {keys} keys, {outcomes} outcomes, {holds} holds, {dead_letters} dead letters, {events} events and {audit} \
             rows of the audit; {customers} orders and holds lost their customer"
        );
    }
    Ok(())
}
