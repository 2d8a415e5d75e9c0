//! `holdfast stock verify`: prints drift. Only reads.

use clap::Args;
use holdfast_common::settings::PostgresSettings;
use serde_json::json;

use super::drift;
use crate::exit::Verdict;
use crate::output::ResultOutput;
use crate::store;

#[derive(Args)]
pub(crate) struct Options {
    /// Verify this product only
    #[arg(long)]
    product: Option<i64>,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
}

/// Drift needs action.
pub(super) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let pool = store::open(&options.postgres, "holdfast-stock").await?;
    let verified = drift::find(&pool, options.product).await?;
    let (products, drifts) = (verified.products, &verified.drifts);
    let documents: Vec<_> = drifts.iter().map(drift::document).collect();
    let text = if drifts.is_empty() {
        format!("{products} products verified: all counts match their holds and orders")
    } else {
        format!(
            "{}\n{} of {products} products have wrong counts: `holdfast stock recalculate` corrects them",
            drift::table(drifts),
            drifts.len(),
        )
    };
    options
        .output
        .print(&json!({"products": products, "drift": documents}), &text);
    Ok(Verdict::needs_action_if(!drifts.is_empty()))
}
