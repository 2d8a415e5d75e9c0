//! `holdfast stock recalculate`: has counts that are off set right.
//!
//! Nothing is changed from here. For each product that is off a command goes into the log; a worker counts once more when
//! its turn has come, so whatever happens in between is in the counts, and its outcome tells what was before and after.

use anyhow::bail;
use clap::Args;
use holdfast_common::command::{Action, Command};
use holdfast_common::domain::{Counts, StockRepair};
use holdfast_common::outcome::Outcome;
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use holdfast_ingress::host_clock::new_request_id;
use holdfast_ingress::operators::drift::Drift;
use indicatif::ProgressBar;
use serde_json::json;

use super::drift;
use crate::exit::Found;
use crate::store;
use crate::submit::CommandLog;

/// What `stock recalculate` is told.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this product
    #[arg(long)]
    product: Option<i64>,
    /// Show what would be set right, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// As one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Mends what is off. What it finds and can't mend, and units that had to be added since more were promised than there
/// were, are for somebody to see to.
pub(super) async fn run(options: Options) -> anyhow::Result<Found> {
    let (pool, keys) =
        store::open_sealed(&options.postgres, &options.encryption, "holdfast-stock").await?;
    let drifts = drift::find(&pool, options.product).await?.drifts;
    if options.dry_run {
        return Ok(show_plan(&drifts, options.json));
    }
    let (to_mend, beyond): (Vec<_>, Vec<_>) =
        drifts.iter().partition(|drift| drift.can_be_mended());
    let mut repairs = Vec::with_capacity(to_mend.len());
    if !to_mend.is_empty() {
        let log = CommandLog::connect(&options.nats, &keys).await?;
        let progress = ProgressBar::new(to_mend.len() as u64);
        for Drift { product_id, .. } in to_mend {
            let action = Action::RepairStock {
                product_id: *product_id,
            };
            let command = Command {
                request_id: new_request_id(product_id.slot()),
                key: None,
                action,
            };
            match log.submit(&pool, &command).await? {
                Outcome::StockRepaired(repair) => repairs.push(*repair),
                Outcome::Failed => {
                    bail!("product {product_id} was not mended: see `holdfast dead-letters`")
                }
                other => bail!("product {product_id} was not mended: {other:?}"),
            }
            progress.inc(1);
        }
        progress.finish_and_clear();
    }
    let oversold = repairs
        .iter()
        .any(|repair| repair.after.total_stock > repair.before.total_stock);
    if options.json {
        println!(
            "{}",
            json!({"repaired": repairs, "beyond_repair": documents(beyond.iter().copied())})
        );
    } else {
        show(&repairs);
    }
    if oversold {
        eprintln!(
            "More was promised than there was: units were added so that every promise is kept. Get them, or cancel."
        );
    }
    if !beyond.is_empty() {
        eprintln!(
            "{} products have paid orders without a payment, which no count can mend: look at them",
            beyond.len()
        );
    }
    Ok(Found::something_if(oversold || !beyond.is_empty()))
}

fn documents<'d>(drifts: impl Iterator<Item = &'d Drift>) -> Vec<serde_json::Value> {
    drifts.map(drift::document).collect()
}

fn show_plan(drifts: &[Drift], json: bool) -> Found {
    if json {
        println!("{}", json!({"would_repair": documents(drifts.iter())}));
    } else if drifts.is_empty() {
        println!("nothing is off");
    } else {
        println!("{}", drift::table(drifts));
        println!("nothing was changed: leave --dry-run away to have it set right");
    }
    Found::something_if(!drifts.is_empty())
}

fn show(repairs: &[StockRepair]) {
    if repairs.is_empty() {
        println!("nothing was off");
        return;
    }
    let mut table = comfy_table::Table::new();
    table.set_header(["product", "count", "before", "after"]);
    for StockRepair {
        product_id,
        before,
        after,
    } in repairs
    {
        for ((name, before), (_, after)) in named(before).into_iter().zip(named(after)) {
            if before != after {
                table.add_row([
                    product_id.to_string(),
                    name.to_owned(),
                    before.to_string(),
                    after.to_string(),
                ]);
            }
        }
    }
    println!("{table}");
}

fn named(counts: &Counts) -> [(&'static str, i64); 6] {
    [
        ("total_stock", counts.total_stock),
        ("available_stock", counts.available_stock),
        ("held_stock", counts.held_stock),
        ("sold_stock", counts.sold_stock),
        ("holds_count", counts.holds_count),
        ("hold_sequence", counts.hold_sequence),
    ]
}
