//! `holdfast audit tail`: follows the audit trail.

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_common::id::ProductId;
use holdfast_common::settings::PostgresSettings;
use holdfast_common::shutdown;
use holdfast_ingress::http::audit_view::EntryView;
use holdfast_ingress::store::audit::{self, AuditFilter, ListedChange};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::exit::{self, Verdict};
use crate::output::ListOutput;
use crate::store;

const PAGE_ROWS: i64 = 500;
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Partitions commit independently, so the order of all products' changes is final only after this time. One product is in
/// one partition, so its changes are in their final order at once.
const SETTLED_SECONDS: i64 = 2;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Print each change of state until Ctrl-C. Changes of all products appear 2 seconds late
    #[command(after_help = exit::HELP)]
    Tail(Tail),
}

#[derive(Args)]
struct Tail {
    /// Print changes of this product only
    #[arg(long)]
    product: Option<i64>,
    /// Start with the oldest stored change, not with new ones
    #[arg(long)]
    all: bool,
    /// Stop after this many seconds
    #[arg(long = "for")]
    seconds: Option<u64>,
    #[command(flatten)]
    output: ListOutput,
    #[command(flatten)]
    postgres: PostgresSettings,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let Command::Tail(tail) = options.command;
    tokio::select! {
        result = follow(tail) => result?,
        signalled = shutdown::signalled() => signalled?,
    }
    Ok(Verdict::Ok)
}

async fn follow(tail: Tail) -> anyhow::Result<()> {
    let pool = store::open(&tail.postgres, "holdfast-audit").await?;
    let of = tail.product.map_or(AuditFilter::Everything, |id| {
        AuditFilter::Product(ProductId(id))
    });
    let mut after = if tail.all {
        (0, 0)
    } else {
        (store::audit::last(&pool).await?, i32::MAX)
    };
    let start = Instant::now();
    loop {
        let is_last = tail
            .seconds
            .is_some_and(|seconds| start.elapsed() >= Duration::from_secs(seconds));
        while let Some(last) = print_page(&pool, of, after, &tail).await? {
            after = last;
        }
        if is_last {
            return Ok(());
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// Prints the next page of changes, and returns the position of its last one. Returns `None` when there was no change.
async fn print_page(
    pool: &PgPool,
    of: AuditFilter,
    after: (i64, i32),
    tail: &Tail,
) -> anyhow::Result<Option<(i64, i32)>> {
    let mut changes = audit::list(pool, of, after, PAGE_ROWS).await?;
    if matches!(of, AuditFilter::Everything) {
        let settled = store::audit::seconds_ago(pool, SETTLED_SECONDS).await?;
        let count = changes
            .iter()
            .take_while(|change| change.at <= settled)
            .count();
        changes.truncate(count);
    }
    for change in &changes {
        if tail.output.json {
            let view = EntryView::from(change.clone());
            println!("{}", serde_json::to_string(&view)?);
        } else {
            println!("{}", line(change));
        }
    }
    Ok(changes.last().map(|last| (last.audit_id, last.entry)))
}

/// A line of text. A table would need all rows before the first can be printed.
fn line(change: &ListedChange) -> String {
    let ListedChange {
        available_before,
        available_after,
        held_before,
        held_after,
        ..
    } = change;
    format!(
        "{} {:18} {:17} product {} {} x{}: available {available_before} -> {available_after}, held {held_before} -> {held_after}",
        change
            .at
            .to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
        change.kind,
        change.actor,
        change.product_id,
        change.subject.map(|id| id.to_string()).unwrap_or_default(),
        change.quantity,
    )
}
