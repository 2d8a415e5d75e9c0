//! `holdfast queue status`: the backlog, the worker and the speed of each partition.

mod backlog;

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_common::settings::{NatsSettings, PostgresSettings};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use self::backlog::Backlog;
pub(crate) use self::backlog::LogCounter;
use crate::exit::{self, Verdict};
use crate::output::ListOutput;
use crate::store;
use crate::store::queue::PartitionLease;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List each partition with its worker, its backlog and the entries applied per second
    #[command(after_help = exit::HELP)]
    Status(Status),
}

#[derive(Args)]
struct Status {
    /// A partition with a larger backlog, in log entries, needs action (exit code 1)
    #[arg(long, default_value_t = 1000)]
    backlog_max: u64,
    /// Measure the applied entries for this many seconds
    #[arg(long = "for", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    match options.command {
        Command::Status(options) => status(options).await,
    }
}

struct PartitionStatus {
    lease: PartitionLease,
    backlog: Backlog,
    applied_per_second: f64,
}

async fn status(options: Status) -> anyhow::Result<Verdict> {
    let pool = store::open(&options.postgres, "holdfast-queue").await?;
    let log = LogCounter::connect(&options.nats).await?;
    let count = options.nats.partitions.count();
    let before = store::queue::leases(&pool, count).await?;
    tokio::time::sleep(Duration::from_secs(options.seconds)).await;
    let after = store::queue::leases(&pool, count).await?;
    let progress = ProgressBar::new(after.len() as u64);
    let mut partitions = Vec::with_capacity(after.len());
    for (earlier, lease) in before.iter().zip(after) {
        let backlog = log.backlog(&lease).await?;
        let applied = log.applied_between(earlier, &lease).await?;
        let seconds = (lease.now - earlier.now).as_seconds_f64();
        partitions.push(PartitionStatus {
            lease,
            backlog,
            applied_per_second: applied as f64 / seconds,
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    let headers = [
        "partition",
        "worker",
        "lease left",
        "backlog",
        "oldest",
        "applied/s",
    ];
    options.output.print(&partitions, document, headers, cells);
    Ok(judge(&partitions, count, options.backlog_max))
}

fn judge(partitions: &[PartitionStatus], count: u16, backlog_max: u64) -> Verdict {
    let owned = partitions
        .iter()
        .filter(|partition| partition.lease.is_owned())
        .count();
    let unowned = usize::from(count) - owned;
    let behind = partitions
        .iter()
        .filter(|partition| partition.backlog.entries > backlog_max)
        .count();
    if unowned > 0 {
        eprintln!("{unowned} partitions have no worker: start holdfast-workers, or read its log");
    }
    if behind > 0 {
        eprintln!(
            "{behind} partitions have a backlog of more than {backlog_max} entries: check whether Postgres or the workers are slow"
        );
    }
    Verdict::needs_action_if(unowned + behind > 0)
}

fn owner(lease: &PartitionLease) -> Option<&str> {
    lease.owner.as_deref().filter(|_| lease.is_owned())
}

fn document(
    PartitionStatus {
        lease,
        backlog,
        applied_per_second,
    }: &PartitionStatus,
) -> Value {
    json!({
        "partition": lease.partition, "owner": owner(lease), "lease_ms": lease.lease_ms,
        "applied_seq": lease.applied_seq, "backlog": backlog.entries,
        "oldest_seconds": backlog.oldest_seconds, "applied_per_second": applied_per_second,
    })
}

fn cells(
    PartitionStatus {
        lease,
        backlog,
        applied_per_second,
    }: &PartitionStatus,
) -> [String; 6] {
    let (left, age) = (lease.lease_ms, backlog.oldest_seconds);
    [
        lease.partition.to_string(),
        owner(lease).unwrap_or("none").to_owned(),
        left.map(|left| format!("{left} ms")).unwrap_or_default(),
        backlog.entries.to_string(),
        age.map(|age| format!("{age:.1} s")).unwrap_or_default(),
        format!("{applied_per_second:.1}"),
    ]
}
