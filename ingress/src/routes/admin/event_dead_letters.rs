//! `GET /api/admin/event-dead-letters`: events that a receiver did not take. `holdfast events` has them posted once more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::Admin;
use crate::App;
use crate::http::body::FieldError;
use crate::http::openapi;
use crate::http::parameters::Query;
use crate::http::problem::Problem;
use crate::http::render;
use crate::routes::products::read_page;
use crate::store::event_dead_letters::{self, After, DeadEvent};

#[derive(Deserialize)]
pub(in crate::routes) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

/// A page of events that a receiver did not take.
#[derive(Serialize, ToSchema)]
#[schema(as = EventDeadLetters)]
struct EventDeadLettersView {
    /// Each with the event, its receiver and the last error
    #[schema(value_type = Vec<Object>)]
    event_dead_letters: Vec<Value>,
    /// Where the next page begins
    #[schema(required)]
    next: Option<String>,
}

/// Events that a receiver did not take
#[utoipa::path(get, path = "/api/admin/event-dead-letters", tag = "Administration", operation_id = "listEventDeadLetters",
    params(openapi::EventDeadLettersPage),
    responses((status = 200, description = "A page", body = EventDeadLettersView)))]
pub(in crate::routes) async fn list(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let (_, limit) = read_page(None, page.limit.as_deref())?;
    let after = page.after.as_deref().map(|after| {
        let error = FieldError::new("after", "must be the `next` of the page before");
        read_cursor(after).ok_or_else(|| Problem::invalid_request(vec![error]))
    });
    let mut found = event_dead_letters::list(app.pool(), after.transpose()?.as_ref(), limit + 1).await?;
    let has_next = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found.last().filter(|_| has_next).map(cursor);
    let event_dead_letters = found.iter().map(view).collect();
    Ok(render::json(StatusCode::OK, &EventDeadLettersView { event_dead_letters, next }))
}

fn cursor(last: &DeadEvent) -> String {
    format!("{}.{}.{}", last.failed_at.timestamp_micros(), last.event_id, last.receiver)
}

fn read_cursor(text: &str) -> Option<After> {
    let (micros, rest) = text.split_once('.')?;
    let (event_id, receiver) = rest.split_once('.').filter(|_| !rest.chars().any(char::is_control))?;
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
