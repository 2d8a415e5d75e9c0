//! `/metrics`: what this process counts, for Prometheus.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use holdfast_common::metrics;

/// What is counted, for Prometheus
#[utoipa::path(get, path = "/metrics", tag = "Service", operation_id = "getMetrics",
    responses((status = 200, description = "The text format of Prometheus", body = String, content_type = "text/plain")))]
pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render()).into_response()
}
