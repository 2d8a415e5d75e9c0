//! `holdfast doctor`: checks Postgres, NATS and the settings, and prints what to do about each problem. It changes nothing.

mod finding;
mod nats;
mod postgres;
mod settings;
mod streams;

use clap::Args;
use holdfast_common::settings::{
    EncryptionSettings, HoldSettings, IngressSettings, NatsSettings, PostgresSettings,
    SafetySettings, WorkerSettings,
};
use serde_json::json;

use self::finding::{Finding, Level};
use crate::exit::{self, Verdict};
use crate::output::ListOutput;

/// The settings of ingress and workers, which the checks compare with Postgres and NATS.
#[derive(Args)]
#[command(after_help = exit::HELP)]
pub(crate) struct Options {
    #[command(flatten)]
    output: ListOutput,
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

/// Runs all checks. An unreachable server is a finding, not an error.
pub(crate) async fn run(options: Options) -> anyhow::Result<Verdict> {
    let mut findings = postgres::check(&options).await;
    findings.extend(nats::check(&options).await);
    findings.extend(settings::check(&options).await);
    let document = |finding: &Finding| json!(finding);
    let headers = ["check", "level", "found", "what to do"];
    options
        .output
        .print(&findings, document, headers, |finding| {
            [
                finding.check.to_owned(),
                finding.level.to_string(),
                finding.found.clone(),
                finding.advice.clone(),
            ]
        });
    Ok(Verdict::needs_action_if(
        findings
            .iter()
            .any(|finding| finding.level == Level::Problem),
    ))
}
