//! The program `holdfast-ingress`.

use std::process::ExitCode;

use clap::Parser;
use holdfast_common::settings::{SafetySettings, TelemetrySettings};
use holdfast_common::shutdown;
use holdfast_common::telemetry;
use holdfast_ingress::Ingress;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Serves Holdfast's HTTP API.
#[derive(Parser)]
#[command(name = "holdfast-ingress", version)]
struct Program {
    #[command(flatten)]
    telemetry: TelemetrySettings,
    #[command(flatten)]
    safety: SafetySettings,
    #[command(flatten)]
    settings: holdfast_ingress::Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    shutdown::exit_code(run().await)
}

async fn run() -> anyhow::Result<()> {
    let mut program = Program::parse();
    let _telemetry = telemetry::start(&program.telemetry, telemetry::SERVICE, "holdfast-ingress");
    let holdfast_ingress::Settings {
        postgres,
        nats,
        ingress,
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
            .chain(ingress.unsafe_settings()),
    )?;
    if program.settings.ingress.demo_store == Some(true) {
        tracing::warn!(
            "DEMO_STORE is on: anybody can mark orders of the demo store as paid; use it for trials only"
        );
    }
    program.settings.ingress.limits.limit_by_default();
    let ingress = Ingress::start(program.settings).await?;
    tracing::info!(address = %ingress.address()?, "listening");
    let stop = CancellationToken::new();
    shutdown::signalled_or_ended(tokio::spawn(ingress.serve(stop.clone())), stop).await
}
