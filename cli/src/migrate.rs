//! `holdfast migrate`: brings the database to this build's schema. Safe to run again, and by several at once.

use clap::Args;
use holdfast_common::settings::PostgresSettings;
use holdfast_common::store::postgres::{self, Pool};
use holdfast_common::store::schema;
use serde_json::json;

/// What `migrate` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    postgres: PostgresSettings,
    /// Say it as JSON
    #[arg(long)]
    json: bool,
}

/// Applies what is missing.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    apply(&options.postgres).await?;
    if options.json {
        println!(
            "{}",
            json!({"schema": schema::MIGRATIONS.iter().map(|known| known.version).max()})
        );
    } else {
        println!("the database has this build's schema");
    }
    Ok(())
}

/// The same, without a word.
pub(crate) async fn apply(settings: &PostgresSettings) -> anyhow::Result<()> {
    let pool = postgres::connect(settings, Pool::once("holdfast-migrate")).await?;
    schema::migrate(&pool).await?;
    pool.close().await;
    Ok(())
}
