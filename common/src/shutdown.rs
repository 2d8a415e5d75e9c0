//! The end of a program: waiting for SIGINT or SIGTERM, and the exit code.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Waits for SIGINT or SIGTERM.
///
/// # Errors
/// When the signal handlers can't be installed.
pub async fn signalled() -> std::io::Result<()> {
    let (mut interrupt, mut terminate) = (
        signal(SignalKind::interrupt())?,
        signal(SignalKind::terminate())?,
    );
    tokio::select! {
        _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "the program stops after a signal"),
        _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "the program stops after a signal"),
    }
    Ok(())
}

/// Waits until a service ends or a signal arrives. After a signal it cancels `stop` and waits until the service has ended.
///
/// # Errors
/// The error of the service.
pub async fn signalled_or_ended(
    mut service: JoinHandle<anyhow::Result<()>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        ended = &mut service => return ended?,
        signal = signalled() => signal?,
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
