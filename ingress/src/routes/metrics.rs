//! `/metrics`: what this process counts, for Prometheus.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use holdfast_common::measures;

/// `GET /metrics`
pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, measures::CONTENT_TYPE)], measures::render()).into_response()
}
