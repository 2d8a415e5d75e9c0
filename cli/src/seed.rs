//! `holdfast seed`: adds products for trials.
//!
//! It publishes a command for each product and writes no rows, so that workers, audit and product caches see the products.

use anyhow::bail;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use holdfast_common::command::{Action, Command, NewProduct, STOCK_MAX};
use holdfast_common::domain::Product;
use holdfast_common::money::{Currency, PRICE_MINOR_MAX};
use holdfast_common::outcome::Outcome;
use holdfast_ingress::host_clock::new_request_id;
use indicatif::ProgressBar;
use serde_json::json;
use sqlx::PgPool;

use crate::exit::{self, Verdict};
use crate::options::StoreAndLog;
use crate::output::ListOutput;
use crate::submit::CommandLog;

const PRODUCTS_MAX: u32 = 100_000;
/// Commands in flight at the same time. Workers apply them in common batches.
const IN_FLIGHT_MAX: usize = 32;

#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    /// Number of products to add
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(PRODUCTS_MAX)))]
    products: u32,
    /// Units of each product
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..=STOCK_MAX))]
    stock: i64,
    /// Price of one unit, in minor units of the currency
    #[arg(long, default_value_t = 9999, value_parser = clap::value_parser!(i64).range(0..=PRICE_MINOR_MAX))]
    price_minor: i64,
    /// Currency, an ISO 4217 code
    #[arg(long, default_value = "USD")]
    currency: Currency,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    connections: StoreAndLog,
}

/// Adds the products. After a failure, the products that were added stay and are printed.
pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let (pool, keys) = options.connections.store.open("holdfast-seed").await?;
    let log = CommandLog::connect(&options.connections.nats, &keys).await?;
    let progress = ProgressBar::new(options.products.into());
    let mut added = Vec::new();
    let mut adding = stream::iter(0..options.products)
        .map(|_| add(&log, &pool, &options))
        .buffered(IN_FLIGHT_MAX);
    let result = loop {
        match adding.try_next().await {
            Ok(Some(product)) => added.push(product),
            Ok(None) => break Ok(Verdict::Ok),
            Err(error) => break Err(error),
        }
        progress.inc(1);
    };
    progress.finish_and_clear();
    let document = |product: &Product| json!({"id": product.id.0, "name": product.name, "total_stock": product.stock.total()});
    let headers = ["product", "name", "total stock"];
    options.output.print(&added, document, headers, |product| {
        [
            product.id.to_string(),
            product.name.clone(),
            product.stock.total().to_string(),
        ]
    });
    result
}

async fn add(log: &CommandLog<'_>, pool: &PgPool, options: &Options) -> anyhow::Result<Product> {
    let product_id = holdfast_ingress::store::next_product_id(pool).await?;
    let action = Action::CreateProduct(NewProduct {
        product_id,
        name: format!("Flash Sale Product {product_id}"),
        price_minor: options.price_minor,
        currency: options.currency,
        total_stock: options.stock,
        max_per_customer: None,
        sale_starts_at: None,
        sale_ends_at: None,
    });
    let command = Command {
        request_id: new_request_id(product_id.slot()),
        key: None,
        action,
    };
    match log.submit(pool, &command).await? {
        Outcome::ProductCreated(created) => Ok(created.product),
        Outcome::Failed => {
            bail!("product {product_id} was not added: see `holdfast dead-letters list`")
        }
        other => bail!("product {product_id} was not added: {other:?}"),
    }
}
