//! The bytes of a request's body: content type, size limit and timeout.
//!
//! [`fields`] reads the JSON in them. A body that breaks several rules gets the first of 415, 413, 400, 422.

pub mod fields;
pub mod value_types;

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};

use crate::http::problem::{Problem, codes};

pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The number of bytes after `BODY_BYTES_MAX` that are received and dropped.
const DROPPED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The time in which a whole body must arrive: `REQUEST_READ_MS`.
#[derive(Clone, Copy, Debug)]
pub struct BodyTimeout(pub Duration);

/// Receives a body that is sent as `application/json`.
///
/// # Errors
/// 415 for another content type, and the errors of [`raw`].
pub async fn json(request: Request, timeout: BodyTimeout) -> Result<Bytes, Problem> {
    check_content_type(request.headers())?;
    raw(request, timeout).await
}

/// Receives a body of any content type.
///
/// # Errors
/// 413 when it is too large, 400 when the client ends it early, 408 after the timeout.
pub async fn raw(request: Request, timeout: BodyTimeout) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    let received = async {
        match Limited::new(&mut body, BODY_BYTES_MAX).collect().await {
            Ok(received) => Ok(received.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                drop_rest(body).await;
                Err(Problem::new(&codes::PAYLOAD_TOO_LARGE))
            }
            Err(_) => Err(Problem::new(&codes::MALFORMED_JSON)),
        }
    };
    tokio::time::timeout(timeout.0, received)
        .await
        .unwrap_or_else(|_| Err(Problem::new(&codes::REQUEST_TIMEOUT)))
}

/// Receives and drops the rest of a body that is too large. A client that is still sending when the connection closes may
/// never read the response.
async fn drop_rest(body: Body) {
    let mut rest = Limited::new(body, DROPPED_BYTES_MAX);
    while let Some(Ok(_)) = rest.frame().await {}
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let media_type = content_type.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(&codes::UNSUPPORTED_MEDIA_TYPE))
}
