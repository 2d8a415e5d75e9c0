//! The end of a program: SIGINT or SIGTERM, heard once by everybody who needs to finish.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the operating system does not let us listen.
pub async fn signalled() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => tracing::info!("interrupted, stopping"),
        _ = terminate.recv() => tracing::info!("terminated, stopping"),
    }
    Ok(())
}

/// Lets a service run until it ends by itself or a signal comes; then tells it to stop and waits until it has.
///
/// # Errors
/// What the service ended with.
pub async fn signalled_or_ended(
    mut service: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = &mut service => return ended?,
        heard = signalled() => heard?,
    }
    stop.cancel();
    service.await?
}

/// The exit code of a program whose `main` ended with this result. Prints the error on standard error.
#[must_use]
pub fn exit_code(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            print_error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints an error and its causes on one line, each text once. `{error:?}`, which a `main` that returns the error prints,
/// would add a backtrace when `RUST_BACKTRACE` is set.
pub fn print_error(error: &anyhow::Error) {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    eprintln!("Error: {text}");
}
