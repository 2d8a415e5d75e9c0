//! `holdfast stock verify`: looks, and changes nothing.

use clap::Args;
use holdfast_common::settings::PostgresSettings;
use serde_json::json;

use super::drift;
use crate::exit::Found;
use crate::store;

/// What `stock verify` is told.
#[derive(Args)]
pub(crate) struct Options {
    /// Only this product
    #[arg(long)]
    product: Option<i64>,
    /// As one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
}

/// Shows what is off.
pub(super) async fn run(options: Options) -> anyhow::Result<Found> {
    let pool = store::open(&options.postgres, "holdfast-stock").await?;
    let verified = drift::find(&pool, options.product).await?;
    let drifts = &verified.drifts;
    if options.json {
        let documents: Vec<_> = drifts.iter().map(drift::document).collect();
        println!(
            "{}",
            json!({"products": verified.products, "drift": documents})
        );
    } else if drifts.is_empty() {
        println!(
            "{} products, each as its holds and orders say",
            verified.products
        );
    } else {
        println!("{}", drift::table(drifts));
        println!(
            "{} of {} products are off; `holdfast stock recalculate` mends counts",
            drifts.len(),
            verified.products
        );
    }
    Ok(Found::something_if(!drifts.is_empty()))
}
