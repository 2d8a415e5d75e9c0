//! `holdfast partitions`: the worker and the position of each partition.

use clap::Args;
use holdfast_common::settings::PostgresSettings;
use holdfast_ingress::store::overview::{self, ListedPartition};
use serde_json::{Value, json};

use crate::exit::{self, Verdict};
use crate::output::ListOutput;
use crate::store;

#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
}

/// A partition without a worker needs action.
pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let pool = store::open(&options.postgres, "holdfast-partitions").await?;
    let partitions = overview::partitions(&pool).await?;
    let headers = ["partition", "worker", "epoch", "applied"];
    options
        .output
        .print(&partitions, document, headers, |partition| {
            [
                partition.partition.to_string(),
                owner(partition).unwrap_or("none").to_owned(),
                partition.epoch.to_string(),
                partition.applied_seq.to_string(),
            ]
        });
    let unowned = partitions
        .iter()
        .filter(|partition| !partition.is_owned)
        .count();
    if unowned > 0 {
        eprintln!("{unowned} partitions have no worker: start holdfast-workers, or read its log");
    }
    Ok(Verdict::needs_action_if(unowned > 0))
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
