//! `holdfast partitions`: which worker has each partition, and how far it has come.

use clap::Args;
use holdfast_common::settings::PostgresSettings;
use holdfast_ingress::store::overview::{self, ListedPartition};
use serde_json::{Value, json};

use crate::exit::Found;
use crate::listing;
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
    listing::show(
        &partitions,
        options.json,
        document,
        ["partition", "worker", "epoch", "applied"],
        |partition| {
            [
                partition.partition.to_string(),
                owner(partition).unwrap_or("nobody").to_owned(),
                partition.epoch.to_string(),
                partition.applied_seq.to_string(),
            ]
        },
    );
    let without = partitions
        .iter()
        .filter(|partition| !partition.is_owned)
        .count();
    if without > 0 {
        eprintln!("{without} partitions have no worker: start holdfast-workers, or see its log");
    }
    Ok(Found::something_if(without > 0))
}

fn owner(partition: &ListedPartition) -> Option<&str> {
    partition.owner.as_deref().filter(|_| partition.is_owned)
}

fn document(partition: &ListedPartition) -> Value {
    json!({
        "partition": partition.partition, "owner": owner(partition), "epoch": partition.epoch,
        "lease_until": partition.lease_until, "applied_seq": partition.applied_seq,
    })
}
