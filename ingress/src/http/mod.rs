//! HTTP as the contract has it, apart from what any single endpoint does: reading a request's form, and writing
//! responses and problems.

pub mod body;
pub mod idempotency;
pub mod prefer;
pub mod problem;
pub mod render;
pub mod signature;
pub mod views;

use axum::Router;
use axum::serve::ListenerExt;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Serves until told to stop, and then until every connection has ended.
///
/// # Errors
/// When the socket fails.
pub async fn serve(socket: TcpListener, router: Router, stop: CancellationToken) -> std::io::Result<()> {
    let socket = socket.tap_io(|stream| {
        // An answer is one small packet: waiting to fill it would only delay it.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was not set");
        }
    });
    axum::serve(socket, router).with_graceful_shutdown(stop.cancelled_owned()).await
}
