//! A request and its answer, as an operator sees them: counted, timed, named by `X-Request-Id`, and logged when it
//! failed.
//!
//! Nothing that a client wrote is logged but that id: no path, no header, no body.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::response::Response;
use holdfast_common::traces;
use tracing::Span;

use crate::http::problem::FailureCode;
use crate::http::render::IDEMPOTENT_REPLAYED;
use crate::metrics::{Endpoint, METRICS};
use crate::server::request_ids::{self, X_REQUEST_ID};

/// The most failures that are logged in a second; metrics count all of them.
const LOGGED_A_SECOND_MAX: u64 = 20;

/// A request that is being answered.
#[derive(Debug)]
pub struct Exchange {
    id: HeaderValue,
    endpoint: Endpoint,
    begun: Instant,
    span: Span,
}

impl Exchange {
    /// Begins with a request's head.
    #[must_use]
    pub fn begin(method: &Method, path: &str, headers: &HeaderMap) -> Self {
        let (id, endpoint) = (request_ids::of(headers), Endpoint::of(method, path));
        let span = tracing::debug_span!(
            target: traces::TARGET, "request", otel.name = endpoint.name(), otel.kind = "server",
            x_request_id = id.to_str().unwrap_or_default(), http.response.status_code = tracing::field::Empty
        );
        if !span.is_disabled() {
            traces::adopt(
                &span,
                headers
                    .get("traceparent")
                    .and_then(|value| value.to_str().ok()),
            );
        }
        Self {
            id,
            endpoint,
            begun: Instant::now(),
            span,
        }
    }

    /// The span in which the request is answered.
    #[must_use]
    pub fn span(&self) -> Span {
        self.span.clone()
    }

    /// Ends with the answer, which is given the request's id.
    pub fn end(self, answer: &mut Response) {
        let (status, after) = (answer.status(), self.begun.elapsed());
        let code = answer
            .extensions()
            .get::<FailureCode>()
            .map_or("", |code| code.0);
        METRICS.answered(self.endpoint, status, after);
        if status == StatusCode::SERVICE_UNAVAILABLE && self.endpoint != Endpoint::Other {
            METRICS.unavailable.count(code);
        }
        if self.endpoint == Endpoint::Webhook {
            METRICS
                .webhooks
                .count(webhook_result(status, answer.headers()));
        }
        self.span
            .record("http.response.status_code", status.as_u16());
        self.span.in_scope(|| self.log(status, code, after));
        answer.headers_mut().insert(X_REQUEST_ID, self.id);
    }

    fn log(&self, status: StatusCode, code: &str, after: Duration) {
        let (id, endpoint) = (self.id.to_str().unwrap_or_default(), self.endpoint.name());
        let (status_code, millis) = (status.as_u16(), after.as_millis() as u64);
        if status.is_server_error() && may_log(Instant::now()) {
            tracing::warn!(
                x_request_id = id,
                endpoint,
                status = status_code,
                code,
                millis,
                "a request was not served"
            );
        } else {
            tracing::debug!(
                x_request_id = id,
                endpoint,
                status = status_code,
                code,
                millis,
                "answered"
            );
        }
    }
}

fn webhook_result(status: StatusCode, headers: &HeaderMap) -> &'static str {
    match status {
        _ if status.is_server_error() => "unavailable",
        _ if status.is_client_error() => "refused",
        _ if headers.contains_key(IDEMPOTENT_REPLAYED) => "duplicate",
        _ => "first",
    }
}

/// Whether one more failure may be logged in this second: in a flood of them, logging each would be another failure.
fn may_log(now: Instant) -> bool {
    static BEGUN: std::sync::LazyLock<Instant> = std::sync::LazyLock::new(Instant::now);
    // The second, and how many were logged in it, in 16 bits.
    static LOGGED: AtomicU64 = AtomicU64::new(0);
    let second = now.saturating_duration_since(*BEGUN).as_secs() << 16;
    let logged = LOGGED.fetch_update(
        Ordering::Relaxed,
        Ordering::Relaxed,
        |logged| match logged {
            _ if logged >> 16 != second >> 16 => Some(second + 1),
            _ if logged & 0xffff < LOGGED_A_SECOND_MAX => Some(logged + 1),
            _ => None,
        },
    );
    logged.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_failures_is_logged_in_part() {
        let now = Instant::now() + Duration::from_secs(100);
        let logged = |now| (0..1000).filter(|_| may_log(now)).count() as u64;
        assert_eq!(logged(now), LOGGED_A_SECOND_MAX);
        assert_eq!(logged(now + Duration::from_secs(1)), LOGGED_A_SECOND_MAX);
    }

    #[test]
    fn a_webhook_is_counted_by_what_was_made_of_it() {
        let replayed =
            HeaderMap::from_iter([(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"))]);
        let of = |status, headers: &HeaderMap| webhook_result(status, headers);
        assert_eq!(of(StatusCode::ACCEPTED, &HeaderMap::new()), "first");
        assert_eq!(of(StatusCode::OK, &replayed), "duplicate");
        assert_eq!(of(StatusCode::UNAUTHORIZED, &HeaderMap::new()), "refused");
        assert_eq!(
            of(StatusCode::SERVICE_UNAVAILABLE, &HeaderMap::new()),
            "unavailable"
        );
    }
}
