//! `/healthz`: the process responds. `/readyz`: Postgres and NATS respond, too.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::problem::{Problem, codes};
use crate::http::render;

/// A part that does not respond in this time counts as down.
const PART_WAIT: Duration = Duration::from_secs(1);

/// The process is healthy.
#[derive(Serialize, ToSchema)]
struct Health {
    /// `ok` or `ready`
    status: &'static str,
}

/// Check that the process responds
#[utoipa::path(get, path = "/healthz", tag = "Service", operation_id = "getHealth",
    responses((status = 200, description = "The process responds", body = Health)))]
pub(super) async fn alive() -> Response {
    render::json(StatusCode::OK, &Health { status: "ok" })
}

/// Check that Postgres and the log respond
#[utoipa::path(get, path = "/readyz", tag = "Service", operation_id = "getReadiness",
    responses((status = 200, description = "Both respond", body = Health), (status = 503, description = "not_ready")))]
pub(super) async fn ready(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let select = sqlx::query("SELECT 1").execute(&app.connections.pool);
    let log = app
        .connections
        .jetstream
        .get_stream(app.settings.nats.subjects.log_stream());
    let (postgres, log) = tokio::join!(
        tokio::time::timeout(PART_WAIT, select),
        tokio::time::timeout(PART_WAIT, log)
    );
    let parts = [
        ("postgres", matches!(postgres, Ok(Ok(_)))),
        ("nats", matches!(log, Ok(Ok(_)))),
    ];
    let down: Vec<_> = parts
        .iter()
        .filter(|(_, is_up)| !is_up)
        .map(|(name, _)| *name)
        .collect();
    if down.is_empty() {
        return Ok(render::json(StatusCode::OK, &Health { status: "ready" }));
    }
    Err(Problem::new(&codes::NOT_READY).with("down", json!(down)))
}
