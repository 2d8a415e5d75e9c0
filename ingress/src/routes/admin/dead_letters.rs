//! Commands that could not be applied: list them, try one again, drop one.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::SecondsFormat;
use holdfast_common::command::{Action, Command};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::host_clock::new_request_id;
use crate::http::openapi;
use crate::http::parameters::{Path, Query};
use crate::http::problem::{Problem, codes};
use crate::http::render::{self, SettledLetter};
use crate::routes::admin::Admin;
use crate::routes::products::read_page;
use crate::routes::requests::answer;
use crate::store::dead_letters::{self, ListedLetter};

#[derive(Deserialize)]
pub(in crate::routes) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetters)]
struct DeadLettersView {
    dead_letters: Vec<DeadLetterView>,
    /// Where the next page begins
    #[schema(required)]
    next: Option<i64>,
}

/// A command that could not be applied.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
struct DeadLetterView {
    id: i64,
    status: &'static str,
    request_id: uuid::Uuid,
    /// What it asked for
    action: String,
    error: String,
    /// How often it was tried alone
    tries: i32,
    #[schema(format = DateTime)]
    failed_at: String,
}

impl From<ListedLetter> for DeadLetterView {
    fn from(letter: ListedLetter) -> Self {
        Self {
            id: letter.dead_letter_id,
            status: letter.status(),
            request_id: letter.request_id,
            action: letter.action,
            error: letter.error,
            tries: letter.tries,
            failed_at: letter
                .failed_at
                .to_rfc3339_opts(SecondsFormat::Micros, true),
        }
    }
}

/// Commands that could not be applied
#[utoipa::path(get, path = "/api/admin/dead-letters", tag = "Administration", operation_id = "listDeadLetters",
    params(openapi::Page), responses((status = 200, description = "A page of those that wait", body = DeadLettersView)))]
pub(in crate::routes) async fn list(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let (after, limit) = read_page(page.after.as_deref(), page.limit.as_deref())?;
    let mut found = dead_letters::list(app.pool(), false, after, limit + 1).await?;
    let has_next = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found
        .last()
        .filter(|_| has_next)
        .map(|last| last.dead_letter_id);
    let dead_letters = found.into_iter().map(DeadLetterView::from).collect();
    Ok(render::json(
        StatusCode::OK,
        &DeadLettersView { dead_letters, next },
    ))
}

/// A dead letter with its command.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterInFull)]
struct FullView {
    #[serde(flatten)]
    letter: DeadLetterView,
    /// What it asked for, in full; null when another version of Holdfast wrote it
    #[schema(value_type = Option<Object>, required)]
    command: Option<Action>,
}

/// One dead letter, with its command
#[utoipa::path(get, path = "/api/admin/dead-letters/{id}", tag = "Administration", operation_id = "getDeadLetter",
    params(openapi::DeadLetterNumber),
    responses(
        (status = 200, description = "The dead letter", body = FullView),
        (status = 404, description = "dead_letter_not_found"),
    ))]
pub(in crate::routes) async fn show(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Response, Problem> {
    let not_found = || Problem::new(&codes::DEAD_LETTER_NOT_FOUND);
    let id: i64 = id.parse().map_err(|_| not_found())?;
    let letter = dead_letters::find(app.pool(), id)
        .await?
        .ok_or_else(not_found)?;
    let command = letter.command(app.keys()).map(|command| command.action);
    Ok(render::json(
        StatusCode::OK,
        &FullView {
            letter: letter.into(),
            command,
        },
    ))
}

/// Has a dead letter tried again, under its own id
#[utoipa::path(post, path = "/api/admin/dead-letters/{id}/retry", tag = "Administration", operation_id = "retryDeadLetter",
    params(openapi::DeadLetterNumber, openapi::Prefer),
    responses(
        (status = 200, description = "It was applied", body = SettledLetter),
        (status = 404, description = "dead_letter_not_found"),
    ))]
pub(in crate::routes) async fn retry(
    _admin: Admin,
    state: State<Arc<App>>,
    id: Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    settle(state, id, headers, true).await
}

/// Gives a dead letter up
#[utoipa::path(post, path = "/api/admin/dead-letters/{id}/drop", tag = "Administration", operation_id = "dropDeadLetter",
    params(openapi::DeadLetterNumber, openapi::Prefer),
    responses(
        (status = 200, description = "It was dropped", body = SettledLetter),
        (status = 404, description = "dead_letter_not_found"),
    ))]
pub(in crate::routes) async fn drop_letter(
    _admin: Admin,
    state: State<Arc<App>>,
    id: Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    settle(state, id, headers, false).await
}

async fn settle(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
    is_retry: bool,
) -> Result<Response, Problem> {
    let not_found = || Problem::new(&codes::DEAD_LETTER_NOT_FOUND);
    let id: i64 = id.parse().map_err(|_| not_found())?;
    let slot = dead_letters::find(app.pool(), id)
        .await?
        .and_then(|letter| letter.slot())
        .ok_or_else(not_found)?;
    let action = Action::SettleDeadLetter { id, is_retry };
    answer(
        &app,
        &headers,
        &Command {
            request_id: new_request_id(slot),
            key: None,
            action,
        },
    )
    .await
}
