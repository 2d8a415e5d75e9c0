//! `holdfast dead-letters`: commands that could not be applied.
//!
//! To retry or drop one is a command in the log like any other, and a worker applies it.

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use holdfast_common::command::Action;
use holdfast_common::encryption::Keyring;
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use holdfast_ingress::host_clock::new_request_id;
use holdfast_ingress::store::dead_letters::{self, ListedLetter};
use serde_json::{Value, json};
use sqlx::PgPool;

use crate::exit::Found;
use crate::listing;
use crate::store;
use crate::submit::{CommandLog, wait_until_applied};

/// The most dead letters that are listed.
const LISTED_MAX: i64 = 1000;

/// What `dead-letters` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List those that wait, oldest first
    List {
        /// Those that were retried or dropped too
        #[arg(long)]
        all: bool,
        /// As JSON, an object a line
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        postgres: PostgresSettings,
        #[command(flatten)]
        encryption: EncryptionSettings,
    },
    /// Show one with its command and its error, as JSON
    Show {
        /// Its number
        id: i64,
        #[command(flatten)]
        postgres: PostgresSettings,
        #[command(flatten)]
        encryption: EncryptionSettings,
    },
    /// Have its command tried again
    Retry(One),
    /// Give it up; its command never takes effect
    Drop(One),
}

#[derive(Args)]
struct One {
    /// Its number
    id: i64,
    /// Show it then as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
    #[command(flatten)]
    nats: NatsSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    match options.command {
        Command::List {
            all,
            json,
            postgres,
            encryption,
        } => {
            let (pool, keys) = connect(&postgres, &encryption).await?;
            list(&pool, &keys, all, json).await?;
            Ok(Found::Nothing)
        }
        Command::Show {
            id,
            postgres,
            encryption,
        } => {
            let (pool, keys) = connect(&postgres, &encryption).await?;
            println!("{:#}", document(&find(&pool, id).await?, &keys));
            Ok(Found::Nothing)
        }
        Command::Retry(one) => settle(one, true).await,
        Command::Drop(one) => settle(one, false).await,
    }
}

async fn connect(
    settings: &PostgresSettings,
    encryption: &EncryptionSettings,
) -> anyhow::Result<(PgPool, Keyring)> {
    store::open_sealed(settings, encryption, "holdfast-dead-letters").await
}

async fn find(pool: &PgPool, id: i64) -> anyhow::Result<ListedLetter> {
    dead_letters::find(pool, id)
        .await?
        .with_context(|| format!("there is no dead letter {id}"))
}

async fn list(pool: &PgPool, keys: &Keyring, all: bool, json: bool) -> anyhow::Result<()> {
    let letters = dead_letters::list(pool, all, 0, LISTED_MAX).await?;
    listing::show(
        &letters,
        json,
        |letter| document(letter, keys),
        ["id", "status", "action", "tries", "failed", "error"],
        |letter| {
            [
                letter.dead_letter_id.to_string(),
                letter.status().to_owned(),
                letter.action.clone(),
                letter.tries.to_string(),
                listing::seconds(letter.failed_at),
                letter.error.clone(),
            ]
        },
    );
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

async fn settle(one: One, is_retry: bool) -> anyhow::Result<Found> {
    let (pool, keys) = connect(&one.postgres, &one.encryption).await?;
    let letter = find(&pool, one.id).await?;
    let slot = letter
        .slot()
        .context("a newer program wrote this dead letter: use the same version")?;
    if letter.settled_at.is_some() {
        bail!("dead letter {} was {} before", one.id, letter.status());
    }
    let action = Action::SettleDeadLetter {
        id: one.id,
        is_retry,
    };
    let command = holdfast_common::command::Command {
        request_id: new_request_id(slot),
        key: None,
        action,
    };
    let log = CommandLog::connect(&one.nats, &keys).await?;
    log.publish(&command).await?;
    let now = wait_until_applied(async || {
        let now = find(&pool, one.id).await?;
        Ok((now.settled_at.is_some() || now.tries > letter.tries).then_some(now))
    })
    .await?;
    let failed_again = now.settled_at.is_none();
    if one.json {
        println!("{}", document(&now, &keys));
    } else if failed_again {
        println!("it failed again: {}", now.error);
    } else {
        println!("dead letter {} was {}", one.id, now.status());
    }
    Ok(Found::something_if(failed_again))
}
