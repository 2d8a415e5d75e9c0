//! The program `holdfast-workers`.

use std::process::ExitCode;

use clap::Parser;
use holdfast_common::settings::{MetricsSettings, SafetySettings, TelemetrySettings};
use holdfast_common::shutdown;
use holdfast_common::telemetry;
use holdfast_workers::observe::http;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Applies Holdfast's commands, partition by partition.
#[derive(Parser)]
#[command(name = "holdfast-workers", version)]
struct Program {
    #[command(flatten)]
    telemetry: TelemetrySettings,
    #[command(flatten)]
    metrics: MetricsSettings,
    #[command(flatten)]
    safety: SafetySettings,
    #[command(flatten)]
    settings: holdfast_workers::Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    shutdown::exit_code(run().await)
}

async fn run() -> anyhow::Result<()> {
    let program = Program::parse();
    let _telemetry = telemetry::start(&program.telemetry, telemetry::SERVICE, "holdfast-workers");
    let holdfast_workers::Settings {
        postgres,
        nats,
        worker,
        ..
    } = &program.settings;
    let connections = [
        postgres.unsafe_settings().await,
        nats.unsafe_settings().await,
    ];
    program.safety.refuse(
        connections
            .into_iter()
            .flatten()
            .chain(worker.unsafe_settings().await),
    )?;
    let stop = CancellationToken::new();
    http::start(&program.metrics, stop.clone()).await?;
    let workers = tokio::spawn(holdfast_workers::run(program.settings, stop.clone()));
    shutdown::signalled_or_ended(workers, stop).await
}
