//! `holdfast seed`: products to try a sale with.
//!
//! Nothing is written from here. Each product is a command in the log, as if the administration had asked for it, so that
//! workers, the audit and ingresses' memory know of it.

use anyhow::bail;
use clap::Args;
use futures_util::{StreamExt, TryStreamExt, stream};
use holdfast_common::command::{Action, Command, NewProduct, STOCK_MAX};
use holdfast_common::domain::Product;
use holdfast_common::money::{Currency, PRICE_MINOR_MAX};
use holdfast_common::outcome::Outcome;
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use holdfast_ingress::host_clock::new_request_id;
use indicatif::ProgressBar;
use serde_json::json;
use sqlx::PgPool;

use crate::exit::{self, Found};
use crate::listing;
use crate::store;
use crate::submit::CommandLog;

/// The most products of one call.
const PRODUCTS_MAX: u32 = 100_000;
/// How many products are asked for at once: workers apply those of one moment together.
const ASKED_AT_ONCE: usize = 32;

/// What `seed` is told.
#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    /// How many products
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(PRODUCTS_MAX)))]
    products: u32,
    /// How many units each has
    #[arg(long, value_parser = clap::value_parser!(i64).range(0..=STOCK_MAX))]
    stock: i64,
    /// What a unit costs, in minor units of the currency
    #[arg(long, default_value_t = 9999, value_parser = clap::value_parser!(i64).range(0..=PRICE_MINOR_MAX))]
    price_minor: i64,
    /// The currency, by its ISO 4217 code
    #[arg(long, default_value = "USD")]
    currency: Currency,
    /// As JSON, an object a product and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Adds the products. Those that were there when one failed stay, and are shown.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let (pool, keys) =
        store::open_sealed(&options.postgres, &options.encryption, "holdfast-seed").await?;
    let log = CommandLog::connect(&options.nats, &keys).await?;
    let progress = ProgressBar::new(options.products.into());
    let mut added = Vec::new();
    let mut asked = stream::iter(0..options.products)
        .map(|_| add(&log, &pool, &options))
        .buffered(ASKED_AT_ONCE);
    let ended = loop {
        match asked.try_next().await {
            Ok(Some(product)) => added.push(product),
            Ok(None) => break Ok(Found::Nothing),
            Err(error) => break Err(error),
        }
        progress.inc(1);
    };
    progress.finish_and_clear();
    let document = |product: &Product| json!({"id": product.id.0, "name": product.name, "total_stock": product.stock.total()});
    listing::show(
        &added,
        options.json,
        document,
        ["product", "name", "total stock"],
        |product| {
            [
                product.id.to_string(),
                product.name.clone(),
                product.stock.total().to_string(),
            ]
        },
    );
    ended
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
        Outcome::Failed => bail!("product {product_id} was not added: see `holdfast dead-letters`"),
        other => bail!("product {product_id} was not added: {other:?}"),
    }
}
