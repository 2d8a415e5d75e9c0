//! `holdfast events`: events that a receiver of `EVENT_URLS` did not take. A worker posts them once more when asked.

use anyhow::ensure;
use clap::{Args, Subcommand};
use comfy_table::Table;
use holdfast_common::settings::PostgresSettings;
use holdfast_ingress::store::event_dead_letters::{self, DeadEvent};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::store;

/// The most that are listed.
const LISTED_MAX: i64 = 1000;

/// What `events` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List those that were not taken, oldest first
    List {
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        postgres: PostgresSettings,
    },
    /// Have them posted once more
    Retry(Which),
    /// Forget them
    Drop(Which),
}

#[derive(Args)]
struct Which {
    /// An event's id
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    event_id: Option<String>,
    /// All that are listed
    #[arg(long)]
    all: bool,
    /// Say how many as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::List { json, postgres } => list(&connect(&postgres).await?, json).await,
        Command::Retry(which) => {
            let asked = event_dead_letters::ask(&connect(&which.postgres).await?, which.event_id.as_deref()).await?;
            ensure!(asked > 0, "there is no such event");
            if which.json {
                println!("{}", json!({"retried": asked}));
            } else {
                println!("{asked} to be posted once more; what fails again is listed again");
            }
            Ok(())
        }
        Command::Drop(which) => {
            let pool = connect(&which.postgres).await?;
            let forgotten = event_dead_letters::forget(&pool, which.event_id.as_deref()).await?;
            ensure!(forgotten > 0, "there is no such event");
            if which.json {
                println!("{}", json!({"dropped": forgotten}));
            } else {
                println!("{forgotten} forgotten");
            }
            Ok(())
        }
    }
}

async fn connect(settings: &PostgresSettings) -> anyhow::Result<PgPool> {
    store::open(settings, "holdfast-events").await
}

async fn list(pool: &PgPool, json: bool) -> anyhow::Result<()> {
    let events = event_dead_letters::list(pool, None, LISTED_MAX).await?;
    if json {
        events.iter().for_each(|event| println!("{}", document(event)));
        return Ok(());
    }
    let mut table = Table::new();
    table.set_header(["event", "type", "host", "tries", "failed", "error"]);
    for event in events {
        table.add_row([
            event.event_id,
            event.r#type,
            event.host,
            event.tries.to_string(),
            event.failed_at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
            event.error,
        ]);
    }
    println!("{table}");
    Ok(())
}

fn document(event: &DeadEvent) -> Value {
    json!({
        "event_id": event.event_id, "type": event.r#type, "host": event.host, "receiver": event.receiver,
        "tries": event.tries, "error": event.error, "failed_at": event.failed_at,
        "retry_asked_at": event.retry_asked_at, "event": serde_json::from_str::<Value>(&event.body).ok(),
    })
}
