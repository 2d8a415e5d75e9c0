//! An HTTP client for requests to an ingress on this machine. It opens a connection for each request.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HOST, HeaderName};
use axum::http::{Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longer than the largest `REQUEST_WAIT_MS`, so that the ingress ends a wait first.
const RESPONSE_WAIT: Duration = Duration::from_secs(70);
const RESPONSE_BYTES_MAX: usize = 64 * 1024;

/// A response, read whole.
#[derive(Debug)]
pub struct Response {
    pub status: StatusCode,
    /// Whether the response has the header `Idempotent-Replayed`.
    pub is_replayed: bool,
    /// The JSON document, or null when the body is not JSON.
    pub body: Value,
}

/// The connection failed, or no whole response arrived in time.
#[derive(Debug, thiserror::Error)]
#[error("the ingress did not respond to a request from its own machine")]
pub struct NoResponse;

/// The address for local requests to an ingress that listens on `listening`, which may be all interfaces.
#[must_use]
pub fn address(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Sends a request with a JSON body and reads the response.
///
/// # Errors
/// When the connection fails, or no response arrives within 70 seconds.
pub async fn send(
    to: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Bytes,
) -> Result<Response, NoResponse> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, to.to_string())
        .header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Full::new(body)).map_err(|_| NoResponse)?;
    timeout(RESPONSE_WAIT, exchange(to, request))
        .await
        .map_err(|_| NoResponse)?
}

async fn exchange(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Response, NoResponse> {
    let stream = TcpStream::connect(to).await.map_err(|_| NoResponse)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| NoResponse)?;
    let exchanged = async move {
        let response = sender.send_request(request).await.map_err(|_| NoResponse)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, RESPONSE_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| NoResponse)?
            .to_bytes();
        Ok(Response {
            status: head.status,
            is_replayed: head.headers.contains_key("idempotent-replayed"),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    };
    // Polling `connection` drives the exchange.
    tokio::select! {
        response = exchanged => response,
        _ = connection => Err(NoResponse),
    }
}
