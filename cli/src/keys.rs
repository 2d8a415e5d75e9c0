//! `holdfast keys`: encrypts stored customers and payments with the first of `ENCRYPTION_KEYS`.

use clap::{Args, Subcommand};
use holdfast_common::settings::{EncryptionSettings, PostgresSettings};
use holdfast_workers::upkeep::reencrypt::{self, PROGRESS_MAX, SealingResult};
use indicatif::ProgressBar;

use crate::exit::{self, Verdict};
use crate::options::EncryptedStore;
use crate::output::ResultOutput;
use crate::store;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Encrypt all stored customers and payments with the first of ENCRYPTION_KEYS, and list the keys that can be removed.
    /// The first time, run it while no worker is running. Run it again after each change of the first key
    #[command(after_help = exit::HELP)]
    Rotate(Rotate),
}

#[derive(Args)]
struct Rotate {
    #[command(flatten)]
    output: ResultOutput,
    #[command(flatten)]
    store: EncryptedStore,
}

pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let Command::Rotate(Rotate { output, store }) = options.command;
    let keys = store.encryption.keyring()?;
    // This command encrypts with keys that the database does not know yet, so it must not check them.
    let pool = store::open(&store.postgres, "holdfast-keys").await?;
    let progress = ProgressBar::new(PROGRESS_MAX);
    let sealed = reencrypt::seal(&pool, &keys, |done| progress.set_position(done)).await?;
    progress.finish_and_clear();
    output.print(&serde_json::to_value(&sealed)?, &text(&sealed));
    Ok(Verdict::needs_action_if(
        sealed.passed_over > 0 || !sealed.still_needed.is_empty(),
    ))
}

/// Encrypts everything before ingress and workers start. Does nothing without keys.
pub(crate) async fn encrypt_before_start(
    postgres: &PostgresSettings,
    encryption: &EncryptionSettings,
) -> anyhow::Result<()> {
    let keys = encryption.keyring()?;
    if keys.is_on() {
        let pool = store::open(postgres, "holdfast-keys").await?;
        reencrypt::seal(&pool, &keys, |_| ()).await?;
    }
    Ok(())
}

fn text(sealed: &SealingResult) -> String {
    let SealingResult {
        texts,
        outcomes,
        dead_letters,
        keys,
        ..
    } = sealed;
    let mut text = format!(
        "encrypted {texts} customers and payments, {outcomes} outcomes, {dead_letters} dead letters and {keys} idempotency keys"
    );
    if sealed.passed_over > 0 {
        text += &format!(
            "\n{} rows were locked and are not encrypted with the first key yet: run this command again",
            sealed.passed_over
        );
        return text;
    }
    for key in &sealed.not_needed {
        text += &format!("\nkey `{key}` is not needed any more: remove it from ENCRYPTION_KEYS");
    }
    for key in &sealed.still_needed {
        text += &format!(
            "\nrunning workers still encrypt with key `{key}`: restart them with the new ENCRYPTION_KEYS, then run this command again"
        );
    }
    text
}
