//! `holdfast keys`: the keys by which customers and payments are sealed.

use clap::{Args, Subcommand};
use holdfast_common::settings::{EncryptionSettings, PostgresSettings};
use holdfast_workers::upkeep::reencrypt::{self, PROGRESS_MAX, Sealed};
use indicatif::ProgressBar;

use crate::exit::{self, Found};
use crate::store;

/// What `keys` is told.
#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Seal everything by the first of ENCRYPTION_KEYS: the first time, with no worker running, and after each change of
    /// it; says which keys are not needed any more
    #[command(after_help = exit::HELP)]
    Rotate(Rotate),
}

#[derive(Args)]
struct Rotate {
    /// Tell what was sealed as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
}

/// Does what was asked.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let Command::Rotate(Rotate {
        json,
        postgres,
        encryption,
    }) = options.command;
    let keys = encryption.keyring()?;
    let pool = store::open(&postgres, "holdfast-keys").await?;
    let progress = ProgressBar::new(PROGRESS_MAX);
    let sealed = reencrypt::seal(&pool, &keys, |done| progress.set_position(done)).await?;
    progress.finish_and_clear();
    if json {
        println!("{}", serde_json::to_string(&sealed)?);
    } else {
        show(&sealed);
    }
    Ok(Found::something_if(
        sealed.passed_over > 0 || !sealed.still_needed.is_empty(),
    ))
}

/// Seals everything for programs that are going to start; without keys nothing.
pub(crate) async fn seal_before_start(
    postgres: &PostgresSettings,
    encryption: &EncryptionSettings,
) -> anyhow::Result<()> {
    let keys = encryption.keyring()?;
    if keys.is_on() {
        reencrypt::seal(
            &store::open(postgres, "holdfast-keys").await?,
            &keys,
            |_| (),
        )
        .await?;
    }
    Ok(())
}

fn show(sealed: &Sealed) {
    let Sealed {
        texts,
        outcomes,
        dead_letters,
        keys,
        ..
    } = sealed;
    println!(
        "sealed {texts} customers and payments, {outcomes} outcomes, {dead_letters} dead letters and {keys} idempotency keys"
    );
    if sealed.passed_over > 0 {
        println!(
            "{} rows were being changed and are not sealed by the first key: run this again",
            sealed.passed_over
        );
        return;
    }
    for key in &sealed.not_needed {
        println!("the key `{key}` is not needed any more: remove it from ENCRYPTION_KEYS");
    }
    for key in &sealed.still_needed {
        println!(
            "workers that run still seal by the key `{key}`: restart them with the new ENCRYPTION_KEYS, run this again"
        );
    }
}
