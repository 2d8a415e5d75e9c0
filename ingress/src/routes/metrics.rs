//! `/metrics`: the metrics of this process.

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use holdfast_common::metrics;

/// Read the metrics
#[utoipa::path(get, path = "/metrics", tag = "Service", operation_id = "getMetrics",
    responses((status = 200, description = "Metrics in the text format of Prometheus", body = String, content_type = "text/plain")))]
pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, metrics::CONTENT_TYPE)], metrics::render()).into_response()
}
