//! Requests of the ingress to itself, each on a connection of its own.

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

/// How long a request may take: more than `REQUEST_WAIT_MS` can be.
const ANSWER_WAIT: Duration = Duration::from_secs(70);
/// The largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// Whether it is the first answer once more.
    pub is_replayed: bool,
    /// The document, null when there is none.
    pub body: Value,
}

/// No answer came.
#[derive(Debug, thiserror::Error)]
#[error("the ingress did not answer itself")]
pub struct NoAnswer;

/// Where an ingress that listens there can be reached from its own machine.
#[must_use]
pub fn address(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listening.port())
}

/// Sends a request and reads its answer.
///
/// # Errors
/// When none comes in time.
pub async fn send(
    to: SocketAddr,
    method: Method,
    path: &str,
    headers: &[(HeaderName, &str)],
    body: Bytes,
) -> Result<Answer, NoAnswer> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, to.to_string());
    request = request.header(CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Full::new(body)).map_err(|_| NoAnswer)?;
    timeout(ANSWER_WAIT, exchange(to, request))
        .await
        .map_err(|_| NoAnswer)?
}

async fn exchange(to: SocketAddr, request: Request<Full<Bytes>>) -> Result<Answer, NoAnswer> {
    let stream = TcpStream::connect(to).await.map_err(|_| NoAnswer)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| NoAnswer)?;
    let asking = async move {
        let response = sender.send_request(request).await.map_err(|_| NoAnswer)?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX)
            .collect()
            .await
            .map_err(|_| NoAnswer)?
            .to_bytes();
        let is_replayed = head.headers.contains_key("idempotent-replayed");
        Ok(Answer {
            status: head.status,
            is_replayed,
            body: serde_json::from_slice(&body).unwrap_or_default(),
        })
    };
    // The connection has to be driven while the answer is read, and ends with it.
    tokio::select! {
        answer = asking => answer,
        _ = connection => Err(NoAnswer),
    }
}
