//! `/api/requests`: the status of a request that got 202.

use std::num::{IntErrorKind, ParseIntError};
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use holdfast_common::id::RequestId;

use crate::app::App;
use crate::commands::submit::QueuedRequest;
use crate::http::openapi;
use crate::http::parameters::{Path, Query};
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::http::views::RequestView;
use crate::store;

#[derive(serde::Deserialize)]
pub(super) struct RequestQuery {
    seq: Option<String>,
}

/// Read the status of a request
#[utoipa::path(get, path = "/api/requests/{id}", tag = "Requests", operation_id = "getRequest", params(openapi::RequestNumber),
    responses(
        (status = 200, description = "The queued request, or its response", body = RequestView),
        (status = 404, description = "request_not_found"),
        (status = 503, description = "log_unavailable"),
    ))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Query(query): Query<RequestQuery>,
) -> Result<Response, Problem> {
    let request_id: RequestId = id.parse().map_err(|_| not_found())?;
    let seq = parse_seq(query.seq.as_deref())?;
    let partition = app.settings.nats.partitions.of(request_id.slot());
    // The log's end is read before the partition's position. In the other order, an entry that is new in the log would look
    // as if it had passed.
    let log = match seq {
        Some(seq) => Some((seq, app.log_end.covering(seq).await)),
        None => None,
    };
    let (decision, position) =
        store::request(&app.connections.pool, app.keys(), request_id, partition).await?;
    if let Some(decision) = decision {
        return Ok(render::done_status(request_id.uuid(), &decision));
    }
    let (seq, log) = log.ok_or_else(not_found)?;
    let mut log = match log {
        Ok(log) => log,
        // While NATS is down, the position in Postgres shows that the request is still queued.
        Err(_) if seq > position.applied_seq => {
            return Ok(render::queued_status(&QueuedRequest::new(
                request_id,
                seq,
                position.applied_seq,
            )));
        }
        Err(error) => return Err(error.into()),
    };
    if !log.is_pending(seq, position) {
        // A 404 needs the present end of the log, because a new stream may have replaced the one of the cached end.
        log = app.log_end.current().await?;
    }
    if !log.is_pending(seq, position) {
        return Err(not_found());
    }
    Ok(render::queued_status(&QueuedRequest::new(
        request_id,
        seq,
        log.applied_seq(position),
    )))
}

fn not_found() -> Problem {
    Problem::new(&codes::REQUEST_NOT_FOUND)
}

fn parse_seq(text: Option<&str>) -> Result<Option<u64>, Problem> {
    let invalid = |error: ParseIntError| match error.kind() {
        // It is a whole number, but no log is that long.
        IntErrorKind::PosOverflow => not_found(),
        _ => Problem::invalid_field("seq", "must be a whole number from 0"),
    };
    text.map(str::parse).transpose().map_err(invalid)
}
