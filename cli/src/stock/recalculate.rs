//! `holdfast stock recalculate`: corrects drift by one command per product.
//!
//! This module writes no counts. A worker counts again when it applies the command, so changes after [`drift::find`] are
//! included. The outcome has the counts before and after.

use anyhow::bail;
use clap::Args;
use comfy_table::Table;
use holdfast_common::command::{Action, Command};
use holdfast_common::domain::{Counts, StockRepair};
use holdfast_common::id::ProductId;
use holdfast_common::outcome::Outcome;
use holdfast_ingress::host_clock::new_request_id;
use holdfast_ingress::operators::drift::Drift;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::drift;
use crate::exit::Verdict;
use crate::options::StoreAndLog;
use crate::output::ResultOutput;
use crate::submit::CommandLog;

#[derive(Args)]
pub(crate) struct Options {
    /// Correct this product only
    #[arg(long)]
    product: Option<i64>,
    /// Print the differences and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    connections: StoreAndLog,
}

/// Two results need action: paid orders without a payment, which recalculation cannot correct, and units that had to be
/// added because more units were held and sold than the product had.
pub(super) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let StoreAndLog { store, nats } = &options.connections;
    let (pool, keys) = store.open("holdfast-stock").await?;
    let drifts = drift::find(&pool, options.product).await?.drifts;
    if options.dry_run {
        return Ok(print_plan(&drifts, &options.output));
    }
    let (repairable, beyond_repair): (Vec<_>, Vec<_>) =
        drifts.iter().partition(|drift| drift.can_be_repaired());
    let mut repairs = Vec::with_capacity(repairable.len());
    if !repairable.is_empty() {
        let log = CommandLog::connect(nats, &keys).await?;
        let progress = ProgressBar::new(repairable.len() as u64);
        for drift in repairable {
            repairs.push(repair(&log, &pool, drift.product_id).await?);
            progress.inc(1);
        }
        progress.finish_and_clear();
    }
    let document = json!({
        "repaired": repairs, "beyond_repair": documents(beyond_repair.iter().copied()),
    });
    options.output.print(&document, &text(&repairs));
    let has_oversold = repairs
        .iter()
        .any(|repair| repair.after.total_stock > repair.before.total_stock);
    if has_oversold {
        eprintln!(
            "more units were held and sold than the product had, so units were added: provide these units, or cancel orders"
        );
    }
    if !beyond_repair.is_empty() {
        eprintln!(
            "{} products have paid orders without a payment, which recalculation cannot correct: check these orders",
            beyond_repair.len()
        );
    }
    Ok(Verdict::needs_action_if(
        has_oversold || !beyond_repair.is_empty(),
    ))
}

async fn repair(
    log: &CommandLog<'_>,
    pool: &PgPool,
    product_id: ProductId,
) -> anyhow::Result<StockRepair> {
    let command = Command {
        request_id: new_request_id(product_id.slot()),
        key: None,
        action: Action::RepairStock { product_id },
    };
    match log.submit(pool, &command).await? {
        Outcome::StockRepaired(repair) => Ok(*repair),
        Outcome::Failed => {
            bail!("product {product_id} was not corrected: see `holdfast dead-letters list`")
        }
        other => bail!("product {product_id} was not corrected: {other:?}"),
    }
}

fn documents<'d>(drifts: impl Iterator<Item = &'d Drift>) -> Vec<Value> {
    drifts.map(drift::document).collect()
}

fn print_plan(drifts: &[Drift], output: &ResultOutput) -> Verdict {
    let text = if drifts.is_empty() {
        "all counts are correct".to_owned()
    } else {
        format!(
            "{}\nnothing was changed: run without --dry-run to correct the counts",
            drift::table(drifts)
        )
    };
    output.print(&json!({"would_repair": documents(drifts.iter())}), &text);
    Verdict::needs_action_if(!drifts.is_empty())
}

fn text(repairs: &[StockRepair]) -> String {
    if repairs.is_empty() {
        return "all counts are correct".to_owned();
    }
    let mut table = Table::new();
    table.set_header(["product", "count", "before", "after"]);
    for StockRepair {
        product_id,
        before,
        after,
    } in repairs
    {
        for ((name, before), (_, after)) in by_name(before).into_iter().zip(by_name(after)) {
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
    table.to_string()
}

fn by_name(counts: &Counts) -> [(&'static str, i64); 6] {
    [
        ("total_stock", counts.total_stock),
        ("available_stock", counts.available_stock),
        ("held_stock", counts.held_stock),
        ("sold_stock", counts.sold_stock),
        ("holds_count", counts.holds_count),
        ("hold_sequence", counts.hold_sequence),
    ]
}
