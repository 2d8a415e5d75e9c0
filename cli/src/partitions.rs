//! `holdfast partitions`: which worker has each partition, and how far it has come.

use clap::Args;
use comfy_table::Table;
use holdfast_common::postgres::{self, Pool};
use holdfast_common::schema;
use holdfast_common::settings::PostgresSettings;
use holdfast_ingress::store::overview::{self, ListedPartition};
use serde_json::json;

/// What `partitions` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    postgres: PostgresSettings,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
}

/// Lists them. Ends badly when one has no worker.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let pool = postgres::connect(&options.postgres, Pool::once("holdfast-partitions")).await?;
    schema::check(&pool).await?;
    let partitions = overview::partitions(&pool).await?;
    if options.json {
        partitions.iter().for_each(print_json)
    } else {
        print_table(&partitions)
    }
    let without = partitions.iter().filter(|partition| !partition.is_owned).count();
    anyhow::ensure!(without == 0, "{without} partitions have no worker: start holdfast-workers, or see its log");
    Ok(())
}

fn print_json(partition: &ListedPartition) {
    let owner = partition.owner.as_ref().filter(|_| partition.is_owned);
    let document = json!({
        "partition": partition.partition, "owner": owner, "epoch": partition.epoch,
        "lease_until": partition.lease_until, "applied_seq": partition.applied_seq,
    });
    println!("{document}");
}

fn print_table(partitions: &[ListedPartition]) {
    let mut table = Table::new();
    table.set_header(["partition", "worker", "epoch", "applied"]);
    for partition in partitions {
        let owner = partition.owner.clone().filter(|_| partition.is_owned);
        table.add_row([
            partition.partition.to_string(),
            owner.unwrap_or_else(|| "nobody".to_owned()),
            partition.epoch.to_string(),
            partition.applied_seq.to_string(),
        ]);
    }
    println!("{table}");
}
