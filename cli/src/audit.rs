//! `holdfast audit tail`: every change of state as it is made.

use std::time::Duration;

use clap::{Args, Subcommand};
use holdfast_common::id::ProductId;
use holdfast_common::settings::PostgresSettings;
use holdfast_common::shutdown;
use holdfast_ingress::http::audit_view::EntryView;
use holdfast_ingress::store::audit::{self, ListedChange, Of};
use sqlx::PgPool;
use tokio::time::Instant;

use crate::exit::{self, Found};
use crate::store;

/// The most changes that are read at once.
const PAGE: i64 = 500;
/// How often is looked for more.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How old a change has to be to be shown, when those of all products are: their order is settled by then. Of one product
/// they are in order at once.
const SETTLED_SECONDS: i64 = 2;

/// What `audit` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show changes of state as they are made, until Ctrl-C; those of all products two seconds later
    #[command(after_help = exit::HELP)]
    Tail(Tail),
}

#[derive(Args)]
struct Tail {
    /// Only those of this product
    #[arg(long)]
    product: Option<i64>,
    /// From the first one that is kept on, not only new ones
    #[arg(long)]
    all: bool,
    /// End after so many seconds
    #[arg(long = "for")]
    seconds: Option<u64>,
    /// As JSON, an object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let Command::Tail(tail) = options.command;
    tokio::select! {
        ended = follow(tail) => ended?,
        heard = shutdown::signalled() => heard?,
    }
    Ok(Found::Nothing)
}

async fn follow(tail: Tail) -> anyhow::Result<()> {
    let pool = store::open(&tail.postgres, "holdfast-audit").await?;
    let of = tail
        .product
        .map_or(Of::Everything, |id| Of::Product(ProductId(id)));
    let mut after = if tail.all {
        (0, 0)
    } else {
        (store::audit::last(&pool).await?, i32::MAX)
    };
    let begun = Instant::now();
    loop {
        let is_last = tail
            .seconds
            .is_some_and(|seconds| begun.elapsed() >= Duration::from_secs(seconds));
        while let Some(last) = page(&pool, of, after, &tail).await? {
            after = last;
        }
        if is_last {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Shows some changes after one; says which was the last, when there was any.
async fn page(
    pool: &PgPool,
    of: Of,
    after: (i64, i32),
    tail: &Tail,
) -> anyhow::Result<Option<(i64, i32)>> {
    let mut changes = audit::list(pool, of, after, PAGE).await?;
    if matches!(of, Of::Everything) {
        let settled = store::audit::settled(pool, SETTLED_SECONDS).await?;
        let count = changes
            .iter()
            .take_while(|change| change.at <= settled)
            .count();
        changes.truncate(count);
    }
    for change in &changes {
        if tail.json {
            println!(
                "{}",
                serde_json::to_string(&EntryView::from(change.clone()))?
            );
        } else {
            println!("{}", line(change));
        }
    }
    Ok(changes.last().map(|last| (last.audit_id, last.entry)))
}

/// A line for people. Columns of a table would have to wait for all of its rows.
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
