//! The workers' own small HTTP: `/metrics` for Prometheus, `/healthz` for whoever restarts processes.
//!
//! Off unless `METRICS_PORT` is set. It answers from memory, so it says nothing about Postgres or NATS; metrics do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use holdfast_common::metrics;
use holdfast_common::settings::MetricsSettings;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

/// The most connections at once; more wait.
const CONNECTIONS_MAX: usize = 16;
/// How long a connection may take for a request's head, or be idle. Prometheus fetches every 15 to 60 seconds.
const HEAD_WAIT: Duration = Duration::from_secs(75);
/// The pause after the operating system could not give us a connection.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Takes the port and serves until the process stops. Without a port there is nothing to do.
///
/// # Errors
/// When the port is taken.
pub async fn start(settings: &MetricsSettings, stop: CancellationToken) -> anyhow::Result<()> {
    let Some(port) = settings.metrics_port else {
        return Ok(());
    };
    metrics::start();
    let address = SocketAddr::new(settings.metrics_address, port);
    let what = || format!("can't listen on {address}. Free the port or set METRICS_PORT");
    let socket = TcpListener::bind(address).await.with_context(what)?;
    tracing::info!(address = %socket.local_addr()?, "serving metrics");
    tokio::spawn(async move { stop.run_until_cancelled(accept(socket)).await });
    Ok(())
}

async fn accept(socket: TcpListener) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let stream = match socket.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        tokio::spawn(async move {
            let mut server = http1::Builder::new();
            server
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_WAIT);
            let served = server
                .serve_connection(TokioIo::new(stream), service_fn(answer))
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, content_type, body) = match request.uri().path() {
        "/metrics" if is_read => (StatusCode::OK, metrics::CONTENT_TYPE, metrics::render()),
        "/healthz" if is_read => (
            StatusCode::OK,
            "application/json",
            r#"{"status":"ok"}"#.to_owned(),
        ),
        "/metrics" | "/healthz" => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", String::new()),
        _ => (StatusCode::NOT_FOUND, "text/plain", String::new()),
    };
    let mut response = Response::new(Full::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if status == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    Ok(response)
}
