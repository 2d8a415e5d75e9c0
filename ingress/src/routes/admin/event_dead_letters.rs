//! `/api/admin/event-dead-letters`: lists events that a receiver did not accept. A worker retries or drops them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat};
use holdfast_common::messages::event_dead_letters::EventDeadLetterRequest;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::openapi;
use crate::http::parameters::page::{self, PageQuery};
use crate::http::parameters::{EVENT_ID_CHARS_MAX, Path, Query};
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::store::event_dead_letters::{self, After, DeadEvent};

/// A page of events that a receiver did not accept.
#[derive(Serialize, ToSchema)]
#[schema(as = EventDeadLetters)]
struct EventDeadLettersView {
    /// Each has the event, its receiver and the last error
    #[schema(value_type = Vec<Object>)]
    event_dead_letters: Vec<Value>,
    /// Send it as `after` to get the next page
    #[schema(required)]
    next: Option<String>,
}

/// List event dead letters
#[utoipa::path(get, path = "/api/admin/event-dead-letters", tag = "Administration", operation_id = "listEventDeadLetters",
    params(openapi::EventDeadLettersPage),
    responses((status = 200, description = "A page", body = EventDeadLettersView)))]
pub(in crate::routes) async fn list(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    let limit = page.limit(&mut errors);
    let after = page.after(parse_cursor, &mut errors);
    page::check(&errors)?;
    let pool = app.pool();
    let mut found = event_dead_letters::list(pool, after.as_ref(), limit.rows()).await?;
    let next = limit.cut(&mut found, cursor);
    let event_dead_letters = found.iter().map(view).collect();
    Ok(render::json(
        StatusCode::OK,
        &EventDeadLettersView {
            event_dead_letters,
            next,
        },
    ))
}

/// A retried or dropped event.
#[derive(Serialize, ToSchema)]
#[schema(as = SettledEvent)]
struct SettledEventView {
    event_id: String,
    /// The number of receivers that had not accepted the event
    receivers: u64,
}

/// Post an event again to each receiver that did not accept it
#[utoipa::path(post, path = "/api/admin/event-dead-letters/{id}/retry", tag = "Administration",
    operation_id = "retryEventDeadLetter", params(openapi::EventNumber),
    responses(
        (status = 200, description = "A worker posts the event within seconds. If that fails, it is listed again.", body = SettledEventView),
        (status = 404, description = "event_dead_letter_not_found"),
    ))]
pub(in crate::routes) async fn retry(
    _admin: Admin,
    State(app): State<Arc<App>>,
    id: Path,
) -> Result<Response, Problem> {
    settle(&app, id, EventDeadLetterRequest::Retry).await
}

/// Drop an event
#[utoipa::path(post, path = "/api/admin/event-dead-letters/{id}/drop", tag = "Administration",
    operation_id = "dropEventDeadLetter", params(openapi::EventNumber),
    responses(
        (status = 200, description = "The event is no longer listed", body = SettledEventView),
        (status = 404, description = "event_dead_letter_not_found"),
    ))]
pub(in crate::routes) async fn drop_event(
    _admin: Admin,
    State(app): State<Arc<App>>,
    id: Path,
) -> Result<Response, Problem> {
    settle(&app, id, EventDeadLetterRequest::Drop).await
}

async fn settle(
    app: &App,
    Path(id): Path,
    what: fn(Option<String>) -> EventDeadLetterRequest,
) -> Result<Response, Problem> {
    if id.is_empty() || id.len() > EVENT_ID_CHARS_MAX || id.chars().any(char::is_control) {
        return Err(Problem::new(&codes::EVENT_DEAD_LETTER_NOT_FOUND));
    }
    let wait = app.settings.request_wait();
    let asked = what(Some(id.clone()))
        .send(&app.connections.nats, &app.settings.nats.subjects, wait)
        .await;
    match asked {
        Ok(0) => Err(Problem::new(&codes::EVENT_DEAD_LETTER_NOT_FOUND)),
        Ok(receivers) => Ok(render::json(
            StatusCode::OK,
            &SettledEventView {
                event_id: id,
                receivers,
            },
        )),
        Err(error) => {
            tracing::warn!(%error, "no worker settled an event dead letter; the client gets 503");
            Err(Problem::new(&codes::STORE_UNAVAILABLE)
                .with_detail("No worker responded. Try again after `Retry-After`."))
        }
    }
}

fn cursor(last: &DeadEvent) -> String {
    format!(
        "{}.{}.{}",
        last.failed_at.timestamp_micros(),
        last.event_id,
        last.receiver
    )
}

fn parse_cursor(text: &str) -> Option<After> {
    let (micros, rest) = text.split_once('.')?;
    let (event_id, receiver) = rest
        .split_once('.')
        .filter(|_| !rest.chars().any(char::is_control))?;
    let failed_at = DateTime::from_timestamp_micros(micros.parse().ok()?)?;
    Some((failed_at, event_id.to_owned(), receiver.to_owned()))
}

fn view(event: &DeadEvent) -> Value {
    json!({
        "event_id": event.event_id,
        "receiver": event.receiver,
        "host": event.host,
        "type": event.r#type,
        "event": serde_json::from_str::<Value>(&event.body).ok(),
        "error": event.error,
        "tries": event.tries,
        "failed_at": event.failed_at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "is_retry_asked": event.retry_asked_at.is_some(),
    })
}
