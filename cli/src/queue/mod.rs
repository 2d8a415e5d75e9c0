//! `holdfast queue status`: how much of the log waits in each partition, and whether anybody is at it.

mod backlog;

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_common::settings::{NatsSettings, PostgresSettings};
use indicatif::ProgressBar;
use serde_json::{Value, json};

use self::backlog::Backlog;
pub(crate) use self::backlog::Log;
use crate::exit::{self, Found};
use crate::listing;
use crate::store;
use crate::store::queue::PartitionLease;

/// What `queue` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show each partition's worker, what waits for it and how fast it is applied
    #[command(after_help = exit::HELP)]
    Status(Status),
}

#[derive(Args)]
struct Status {
    /// How many entries of the log may wait in a partition before that is something to see to
    #[arg(long, default_value_t = 1000)]
    backlog_max: u64,
    /// How long to watch, in seconds, to tell how many entries are applied a second
    #[arg(long = "for", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// As JSON, an object a partition and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    match options.command {
        Command::Status(status) => show(status).await,
    }
}

/// What is told of a partition.
struct Line {
    lease: PartitionLease,
    backlog: Backlog,
    applied_per_second: f64,
    is_behind: bool,
}

async fn show(status: Status) -> anyhow::Result<Found> {
    let pool = store::open(&status.postgres, "holdfast-queue").await?;
    let log = Log::open(&status.nats).await?;
    let count = status.nats.partitions.count();
    let before = store::queue::leases(&pool, count).await?;
    tokio::time::sleep(Duration::from_secs(status.seconds)).await;
    let after = store::queue::leases(&pool, count).await?;
    let progress = ProgressBar::new(after.len() as u64);
    let mut lines = Vec::with_capacity(after.len());
    for (earlier, lease) in before.iter().zip(after) {
        let backlog = log.ahead(&lease).await?;
        let applied = log.between(earlier, &lease).await?;
        let seconds = (lease.now - earlier.now).as_seconds_f64();
        let is_behind = backlog.entries > status.backlog_max;
        lines.push(Line {
            lease,
            backlog,
            applied_per_second: applied as f64 / seconds,
            is_behind,
        });
        progress.inc(1);
    }
    progress.finish_and_clear();
    let heads = [
        "partition",
        "worker",
        "lease left",
        "backlog",
        "oldest",
        "applied a second",
    ];
    listing::show(&lines, status.json, document, heads, cells);
    Ok(judge(&lines, count, status.backlog_max))
}

/// Tells what somebody has to see to.
fn judge(lines: &[Line], partitions: u16, backlog_max: u64) -> Found {
    let unowned = lines.iter().filter(|line| !line.lease.is_owned()).count();
    let behind = lines.iter().filter(|line| line.is_behind).count();
    let missing = usize::from(partitions) - lines.len();
    if unowned + missing > 0 {
        eprintln!(
            "{} partitions have no worker: start holdfast-workers, or see its log",
            unowned + missing
        );
    }
    if behind > 0 {
        eprintln!(
            "{behind} partitions have more than {backlog_max} entries waiting: see that Postgres and workers keep up"
        );
    }
    Found::something_if(unowned + missing + behind > 0)
}

fn owner(lease: &PartitionLease) -> Option<&str> {
    lease.owner.as_deref().filter(|_| lease.is_owned())
}

fn document(
    Line {
        lease,
        backlog,
        applied_per_second,
        ..
    }: &Line,
) -> Value {
    json!({
        "partition": lease.partition, "owner": owner(lease), "lease_ms": lease.lease_ms,
        "applied_seq": lease.applied_seq, "backlog": backlog.entries,
        "oldest_seconds": backlog.oldest_seconds, "applied_per_second": applied_per_second,
    })
}

fn cells(
    Line {
        lease,
        backlog,
        applied_per_second,
        ..
    }: &Line,
) -> [String; 6] {
    [
        lease.partition.to_string(),
        owner(lease).unwrap_or("nobody").to_owned(),
        lease
            .lease_ms
            .map(|left| format!("{left} ms"))
            .unwrap_or_default(),
        backlog.entries.to_string(),
        backlog
            .oldest_seconds
            .map(|age| format!("{age:.1} s"))
            .unwrap_or_default(),
        format!("{applied_per_second:.1}"),
    ]
}
