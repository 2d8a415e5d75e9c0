//! The end of a program: SIGINT or SIGTERM, heard once by everybody who needs to finish.

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
