//! `holdfast doctor`: looks at everything a sale stands on, and says what to do about what it finds. It changes nothing.

mod finding;
mod nats;
mod postgres;
mod settings;
mod streams;

use clap::Args;
use comfy_table::Table;
use holdfast_common::settings::{
    EncryptionSettings, HoldSettings, IngressSettings, NatsSettings, PostgresSettings,
    SafetySettings, WorkerSettings,
};

use self::finding::{Finding, Level};
use crate::exit::Found;

/// What `doctor` is told: the settings of ingress and workers, to compare with what is there.
#[derive(Args)]
pub(crate) struct Options {
    /// As JSON, an object a finding and line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    postgres: PostgresSettings,
    #[command(flatten)]
    nats: NatsSettings,
    #[command(flatten)]
    holds: HoldSettings,
    #[command(flatten)]
    ingress: IngressSettings,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    safety: SafetySettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
}

/// Looks at all of it. A part that is away is a finding, not an error.
pub(crate) async fn run(options: Options) -> anyhow::Result<Found> {
    let mut findings = postgres::look(&options).await;
    findings.extend(nats::look(&options).await);
    findings.extend(settings::look(&options).await);
    if options.json {
        for finding in &findings {
            println!("{}", serde_json::to_string(finding)?);
        }
    } else {
        let mut table = Table::new();
        table.set_header(["check", "", "found", "what to do"]);
        for Finding {
            check,
            level,
            found,
            advice,
        } in &findings
        {
            table.add_row([
                (*check).to_owned(),
                level.to_string(),
                found.clone(),
                advice.clone(),
            ]);
        }
        println!("{table}");
    }
    Ok(Found::something_if(
        findings
            .iter()
            .any(|finding| finding.level == Level::Problem),
    ))
}
