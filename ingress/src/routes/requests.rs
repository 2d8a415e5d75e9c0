//! `/api/requests`: what became of a request that was accepted; and how every command's request is answered.

use std::num::{IntErrorKind, ParseIntError};
use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use holdfast_common::command::Command;
use holdfast_common::id::RequestId;

use crate::app::App;
use crate::commands::submit::QueuedRequest;
use crate::http::openapi;
use crate::http::parameters::{Path, Query};
use crate::http::prefer::Preference;
use crate::http::problem::{Problem, codes};
use crate::http::render::{self, RequestView};
use crate::store;

/// Submits a command, waits as long as the client prefers, and answers.
pub(super) async fn answer(
    app: &App,
    headers: &HeaderMap,
    command: &Command,
) -> Result<Response, Problem> {
    let preference = Preference::of(headers);
    let longest = app.settings.request_wait();
    tracing::debug!(
        request_id = %command.request_id, action = command.action.name(),
        product_id = command.action.named_product().map(|id| id.0),
        hold_id = command.action.named_hold().map(tracing::field::display), "command submitted"
    );
    let submitted = app
        .submitter
        .submit(command, preference.wait(longest))
        .await?;
    Ok(render::submitted(&submitted, &preference))
}

#[derive(serde::Deserialize)]
pub(super) struct Place {
    seq: Option<String>,
}

/// What became of a request
#[utoipa::path(get, path = "/api/requests/{id}", tag = "Requests", operation_id = "getRequest", params(openapi::RequestNumber),
    responses(
        (status = 200, description = "The request in line, or the response it got", body = RequestView),
        (status = 404, description = "request_not_found"),
        (status = 503, description = "log_unavailable"),
    ))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path,
    Query(place): Query<Place>,
) -> Result<Response, Problem> {
    let request_id: RequestId = id.parse().map_err(|_| not_found())?;
    let seq = read_seq(place.seq.as_deref())?;
    let partition = app.settings.nats.partitions.of(request_id.slot());
    // The log first: what it may have got since is then not taken for something that has passed.
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
        // While NATS is away, what the table says has to do.
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
        // Nobody is told that a request is gone by what was known a moment ago: the stream may be another by now.
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

fn read_seq(text: Option<&str>) -> Result<Option<u64>, Problem> {
    let invalid = |error: ParseIntError| match error.kind() {
        // A whole number, but no log is that long.
        IntErrorKind::PosOverflow => not_found(),
        _ => Problem::invalid_field("seq", "must be a whole number from 0"),
    };
    text.map(str::parse).transpose().map_err(invalid)
}
