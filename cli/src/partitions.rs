//! `holdfast partitions`: which worker has each partition, and how far it has come.

use clap::Args;
use comfy_table::Table;
use holdfast_common::settings::PostgresSettings;
use holdfast_ingress::store::overview::{self, ListedPartition};
use serde_json::json;

use crate::exit::Found;
use crate::store;

/// What `partitions` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(flatten)]
    postgres: PostgresSettings,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
}

/// Lists them. One without a worker is something to see to.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let pool = store::open(&options.postgres, "holdfast-partitions").await?;
    let partitions = overview::partitions(&pool).await?;
    if options.json {
        partitions.iter().for_each(print_json)
    } else {
        print_table(&partitions)
    }
    let without = partitions.iter().filter(|partition| !partition.is_owned).count();
    if without > 0 {
        eprintln!("{without} partitions have no worker: start holdfast-workers, or see its log");
    }
    Ok(Found::something_if(without > 0))
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
