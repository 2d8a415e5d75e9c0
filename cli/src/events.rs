//! `holdfast events`: events that a receiver of `EVENT_URLS` did not take. A worker posts them once more when asked.

use std::time::Duration;

use anyhow::ensure;
use clap::{Args, Subcommand};
use holdfast_common::log;
use holdfast_common::messages::event_dead_letters::Request;
use holdfast_common::settings::{NatsSettings, PostgresSettings};
use holdfast_ingress::store::event_dead_letters::{self, DeadEvent};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::listing;
use crate::store;

/// How long a worker may take.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
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
    nats: NatsSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::List { json, postgres } => {
            list(&store::open(&postgres, "holdfast-events").await?, json).await
        }
        Command::Retry(which) => {
            let retried = ask(&which, Request::Retry).await?;
            let told = "to be posted once more; what fails again is listed again";
            which.tell(json!({"retried": retried}), format!("{retried} {told}"));
            Ok(())
        }
        Command::Drop(which) => {
            let dropped = ask(&which, Request::Drop).await?;
            which.tell(json!({"dropped": dropped}), format!("{dropped} forgotten"));
            Ok(())
        }
    }
}

impl Which {
    fn tell(&self, document: Value, words: String) {
        if self.json {
            println!("{document}")
        } else {
            println!("{words}")
        }
    }
}

/// Asks a worker; says for how many events it was done.
async fn ask(which: &Which, what: fn(Option<String>) -> Request) -> anyhow::Result<u64> {
    let nats = log::connect(&which.nats, "holdfast", |_| ()).await?;
    let done = what(which.event_id.clone())
        .ask(&nats, &which.nats.subjects, ANSWER_WAIT)
        .await?;
    ensure!(done > 0, "there is no such event");
    Ok(done)
}

async fn list(pool: &PgPool, json: bool) -> anyhow::Result<()> {
    let events = event_dead_letters::list(pool, None, LISTED_MAX).await?;
    listing::show(
        &events,
        json,
        document,
        ["event", "type", "host", "tries", "failed", "error"],
        |event| {
            [
                event.event_id.clone(),
                event.r#type.clone(),
                event.host.clone(),
                event.tries.to_string(),
                listing::seconds(event.failed_at),
                event.error.clone(),
            ]
        },
    );
    Ok(())
}

fn document(event: &DeadEvent) -> Value {
    json!({
        "event_id": event.event_id, "type": event.r#type, "host": event.host, "receiver": event.receiver,
        "tries": event.tries, "error": event.error, "failed_at": event.failed_at,
        "retry_asked_at": event.retry_asked_at, "event": serde_json::from_str::<Value>(&event.body).ok(),
    })
}
