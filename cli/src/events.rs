//! `holdfast events`: lists, retries and drops event dead letters, which are events that a receiver of `EVENT_URLS` did not
//! accept. A worker does the retries and drops.

use std::time::Duration;

use anyhow::ensure;
use clap::{Args, Subcommand};
use holdfast_common::log;
use holdfast_common::messages::event_dead_letters::EventDeadLetterRequest;
use holdfast_common::settings::{NatsSettings, PostgresSettings};
use holdfast_ingress::store::event_dead_letters::{self, DeadEvent};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::exit;
use crate::output::{self, ListOutput, ResultOutput};
use crate::store;

const REPLY_WAIT: Duration = Duration::from_secs(15);
const LISTED_MAX: i64 = 1000;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List events that a receiver did not accept, oldest first
    #[command(after_help = exit::HELP)]
    List {
        #[command(flatten)]
        output: ListOutput,
        #[command(flatten)]
        postgres: PostgresSettings,
    },
    /// Post events again
    #[command(after_help = exit::HELP)]
    Retry(SelectedEvents),
    /// Delete events without posting them
    #[command(after_help = exit::HELP)]
    Drop(SelectedEvents),
}

#[derive(Args)]
struct SelectedEvents {
    /// Id of the event
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    event_id: Option<String>,
    /// All listed events
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    nats: NatsSettings,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    match options.command {
        Command::List { output, postgres } => {
            let pool = store::open(&postgres, "holdfast-events").await?;
            list(&pool, &output).await?;
        }
        Command::Retry(events) => {
            let retried = request(&events, EventDeadLetterRequest::Retry).await?;
            let text = format!(
                "{retried} events will be posted again; an event that fails again is listed again"
            );
            events.output.print(&json!({"retried": retried}), &text);
        }
        Command::Drop(events) => {
            let dropped = request(&events, EventDeadLetterRequest::Drop).await?;
            let text = format!("{dropped} events deleted");
            events.output.print(&json!({"dropped": dropped}), &text);
        }
    }
    Ok(())
}

/// Sends a request to a worker, and returns the number of affected events.
async fn request(
    events: &SelectedEvents,
    request: fn(Option<String>) -> EventDeadLetterRequest,
) -> anyhow::Result<u64> {
    let nats = log::connect(&events.nats, "holdfast", |_| ()).await?;
    let count = request(events.event_id.clone())
        .send(&nats, &events.nats.subjects, REPLY_WAIT)
        .await?;
    ensure!(count > 0, "there is no such event");
    Ok(count)
}

async fn list(pool: &PgPool, output: &ListOutput) -> anyhow::Result<()> {
    let events = event_dead_letters::list(pool, None, LISTED_MAX).await?;
    let headers = ["event", "type", "host", "tries", "failed", "error"];
    output.print(&events, document, headers, |event| {
        [
            event.event_id.clone(),
            event.r#type.clone(),
            event.host.clone(),
            event.tries.to_string(),
            output::seconds(event.failed_at),
            event.error.clone(),
        ]
    });
    Ok(())
}

fn document(event: &DeadEvent) -> Value {
    json!({
        "event_id": event.event_id, "type": event.r#type, "host": event.host, "receiver": event.receiver,
        "tries": event.tries, "error": event.error, "failed_at": event.failed_at,
        "retry_asked_at": event.retry_asked_at, "event": serde_json::from_str::<Value>(&event.body).ok(),
    })
}
