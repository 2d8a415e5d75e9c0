//! `holdfast migrate`: applies the migrations of this build that the database lacks. Repeated and concurrent runs are safe.

use clap::Args;
use holdfast_common::settings::PostgresSettings;
use holdfast_common::store::postgres::{self, PoolOptions};
use holdfast_common::store::schema;
use serde_json::json;

use crate::exit;
use crate::output::ResultOutput;

#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    apply(&options.postgres).await?;
    let version = schema::MIGRATIONS.iter().map(|known| known.version).max();
    options.output.print(
        &json!({"schema": version}),
        "the database has the schema of this build",
    );
    Ok(())
}

/// Applies the migrations without output.
pub(crate) async fn apply(settings: &PostgresSettings) -> anyhow::Result<()> {
    let pool = postgres::connect(settings, PoolOptions::once("holdfast-migrate")).await?;
    schema::migrate(&pool).await?;
    pool.close().await;
    Ok(())
}
