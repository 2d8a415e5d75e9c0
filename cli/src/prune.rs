//! `holdfast prune`: removes what has ended long ago, now instead of within a day.

use std::time::Duration;

use clap::Args;
use holdfast_common::id::SLOTS;
use holdfast_common::settings::{PostgresSettings, RetentionSettings};
use holdfast_workers::prune::{Pruned, prune};
use holdfast_workers::store::retention::Ages;
use indicatif::ProgressBar;
use serde_json::json;

use crate::store;

/// What `prune` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    postgres: PostgresSettings,
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
    let pruned = prune(&pool, Ages::new(&options.retention), Duration::ZERO, done).await?;
    progress.finish_and_clear();
    if options.json {
        let Pruned { keys, outcomes, holds, dead_letters, audit } = pruned;
        let removed =
            json!({"keys": keys, "outcomes": outcomes, "holds": holds, "dead_letters": dead_letters, "audit": audit});
        println!("{removed}");
    } else {
        println!(
            "removed {} keys, {} outcomes, {} holds, {} dead letters and {} rows of the audit",
            pruned.keys, pruned.outcomes, pruned.holds, pruned.dead_letters, pruned.audit
        );
    }
    Ok(())
}
