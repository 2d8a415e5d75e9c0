//! `holdfast dead-letters`: lists, retries and drops commands that workers could not apply.
//!
//! Changes are commands in the log; this module writes no rows.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use holdfast_common::command::Action;
use holdfast_common::encryption::Keyring;
use holdfast_ingress::host_clock::new_request_id;
use holdfast_ingress::store::dead_letters::{self, ListedLetter};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::exit::{self, Verdict};
use crate::options::{EncryptedStore, StoreAndLog};
use crate::output::{self, ListOutput, ResultOutput};
use crate::submit::{CommandLog, wait_until_applied};

const LISTED_MAX: i64 = 1000;
/// The application name of the connection in Postgres.
const NAME: &str = "holdfast-dead-letters";

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List dead letters that are neither retried nor dropped, oldest first
    #[command(after_help = exit::HELP)]
    List {
        /// List retried and dropped dead letters too
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        output: ListOutput,
        #[command(flatten)]
        store: EncryptedStore,
    },
    /// Print a dead letter with its command and its error as JSON
    #[command(after_help = exit::HELP)]
    Show {
        /// Number of the dead letter
        id: i64,
        #[command(flatten)]
        store: EncryptedStore,
    },
    /// Apply the command again
    #[command(after_help = exit::HELP)]
    Retry(Settle),
    /// Give up the command: it never takes effect
    #[command(after_help = exit::HELP)]
    Drop(Settle),
}

#[derive(Args)]
struct Settle {
    /// Number of the dead letter
    id: i64,
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    connections: StoreAndLog,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    match options.command {
        Command::List { all, output, store } => {
            let (pool, keys) = store.open(NAME).await?;
            list(&pool, &keys, all, &output).await?;
            Ok(Verdict::Ok)
        }
        Command::Show { id, store } => {
            let (pool, keys) = store.open(NAME).await?;
            println!("{:#}", document(&find(&pool, id).await?, &keys));
            Ok(Verdict::Ok)
        }
        Command::Retry(options) => settle(options, true).await,
        Command::Drop(options) => settle(options, false).await,
    }
}

async fn find(pool: &PgPool, id: i64) -> anyhow::Result<ListedLetter> {
    dead_letters::find(pool, id)
        .await?
        .with_context(|| format!("there is no dead letter {id}"))
}

async fn list(pool: &PgPool, keys: &Keyring, all: bool, output: &ListOutput) -> anyhow::Result<()> {
    let letters = dead_letters::list(pool, all, 0, LISTED_MAX).await?;
    let headers = ["id", "status", "action", "tries", "failed", "error"];
    let document = |letter: &ListedLetter| document(letter, keys);
    output.print(&letters, document, headers, |letter| {
        [
            letter.dead_letter_id.to_string(),
            letter.status().to_owned(),
            letter.action.clone(),
            letter.tries.to_string(),
            output::seconds(letter.failed_at),
            letter.error.clone(),
        ]
    });
    Ok(())
}

fn document(letter: &ListedLetter, keys: &Keyring) -> Value {
    json!({
        "id": letter.dead_letter_id, "status": letter.status(), "request_id": letter.request_id,
        "log_seq": letter.log_seq, "action": letter.action, "tries": letter.tries, "error": letter.error,
        "failed_at": letter.failed_at, "settled_at": letter.settled_at,
        "command": letter.command(keys).map(|command| command.action),
    })
}

async fn settle(options: Settle, is_retry: bool) -> anyhow::Result<Verdict> {
    let Settle {
        id,
        output,
        connections: StoreAndLog { store, nats },
    } = options;
    let (pool, keys) = store.open(NAME).await?;
    let letter = find(&pool, id).await?;
    let slot = letter
        .slot()
        .context("a newer version wrote this dead letter: use the same version")?;
    if letter.settled_at.is_some() {
        bail!("dead letter {id} was already {}", letter.status());
    }
    let command = holdfast_common::command::Command {
        request_id: new_request_id(slot),
        key: None,
        action: Action::SettleDeadLetter { id, is_retry },
    };
    let log = CommandLog::connect(&nats, &keys).await?;
    log.publish(&command).await?;
    let settled = wait_until_applied(async || {
        let current = find(&pool, id).await?;
        let is_applied = current.settled_at.is_some() || current.tries > letter.tries;
        Ok(is_applied.then_some(current))
    })
    .await?;
    let has_failed = settled.settled_at.is_none();
    let text = if has_failed {
        format!("the command failed again: {}", settled.error)
    } else {
        format!("dead letter {id} was {}", settled.status())
    };
    output.print(&document(&settled, &keys), &text);
    Ok(Verdict::needs_action_if(has_failed))
}
