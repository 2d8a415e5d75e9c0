//! The workers' HTTP port: `/metrics` for Prometheus, and `/healthz` for the supervisor of the process.
//!
//! Off unless `METRICS_PORT` is set. Both responses come from memory. `/healthz` does not check Postgres or NATS; the
//! metrics show their failures. No handler waits for anything, so at most one request for each core is in progress.
//! Connections have no limit of number or time: open the port only to the operator's network.

use std::net::SocketAddr;

use anyhow::Context;
use axum::Router;
use axum::http::StatusCode;
use axum::http::header::{ALLOW, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;
use holdfast_common::metrics;
use holdfast_common::settings::MetricsSettings;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Binds the port, and serves until the process stops. Does nothing without a port.
///
/// # Errors
/// When the port is in use.
pub async fn start(settings: &MetricsSettings, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(port) = settings.metrics_port else {
        return Ok(());
    };
    metrics::start();
    let address = SocketAddr::new(settings.metrics_address, port);
    let failed = || format!("can't listen on {address}. Free the port or set METRICS_PORT");
    let socket = TcpListener::bind(address).await.with_context(failed)?;
    tracing::info!(address = %socket.local_addr()?, "serving metrics");
    // Ends with the process at the latest: no part of the shutdown waits for an open connection.
    let server = axum::serve(socket, routes()).with_graceful_shutdown(stop.cancelled_owned());
    tokio::spawn(server.into_future());
    Ok(())
}

fn routes() -> Router {
    let metrics = async || ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render());
    let health = async || ([(CONTENT_TYPE, "application/json")], r#"{"status":"ok"}"#);
    Router::new()
        .route("/metrics", get(metrics).fallback(method_not_allowed))
        .route("/healthz", get(health).fallback(method_not_allowed))
        .fallback(async || (StatusCode::NOT_FOUND, [(CONTENT_TYPE, "text/plain")]))
}

async fn method_not_allowed() -> impl IntoResponse {
    let headers = [(ALLOW, "GET, HEAD"), (CONTENT_TYPE, "text/plain")];
    (StatusCode::METHOD_NOT_ALLOWED, headers)
}
