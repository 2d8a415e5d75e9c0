//! `/api/admin/dead-letters`: lists, reads, retries and drops commands that no worker could apply.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::SecondsFormat;
use holdfast_common::command::Action;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::command_response::submit_unkeyed;
use crate::http::openapi;
use crate::http::parameters::page::PageQuery;
use crate::http::parameters::{Path, Query};
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::http::views::SettledLetter;
use crate::store::dead_letters::{self, ListedLetter};

/// A page of dead letters.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetters)]
struct DeadLettersView {
    dead_letters: Vec<DeadLetterView>,
    /// Send it as `after` to get the next page
    #[schema(required)]
    next: Option<i64>,
}

/// A command that no worker could apply.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetter)]
struct DeadLetterView {
    id: i64,
    status: &'static str,
    request_id: uuid::Uuid,
    /// The command's kind
    action: String,
    error: String,
    /// The number of times that it was applied alone
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

/// List dead letters
#[utoipa::path(get, path = "/api/admin/dead-letters", tag = "Administration", operation_id = "listDeadLetters",
    params(openapi::Page), responses((status = 200, description = "A page of open dead letters", body = DeadLettersView)))]
pub(in crate::routes) async fn list(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (after, limit) = page.numbered()?;
    let mut found = dead_letters::list(app.pool(), false, after, limit.rows()).await?;
    let next = limit.cut(&mut found, |last| last.dead_letter_id);
    let dead_letters = found.into_iter().map(DeadLetterView::from).collect();
    Ok(render::json(
        StatusCode::OK,
        &DeadLettersView { dead_letters, next },
    ))
}

/// A dead letter with its command.
#[derive(Serialize, ToSchema)]
#[schema(as = DeadLetterInFull)]
struct DeadLetterWithCommandView {
    #[serde(flatten)]
    letter: DeadLetterView,
    /// The whole command. Null when another version of Holdfast wrote it
    #[schema(value_type = Option<Object>, required)]
    command: Option<Action>,
}

/// Read a dead letter with its command
#[utoipa::path(get, path = "/api/admin/dead-letters/{id}", tag = "Administration", operation_id = "getDeadLetter",
    params(openapi::DeadLetterNumber),
    responses(
        (status = 200, description = "The dead letter", body = DeadLetterWithCommandView),
        (status = 404, description = "dead_letter_not_found"),
    ))]
pub(in crate::routes) async fn show(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
) -> Result<Response, Problem> {
    let id: i64 = id.parse().map_err(|_| &codes::DEAD_LETTER_NOT_FOUND)?;
    let letter = dead_letters::find(app.pool(), id)
        .await?
        .ok_or(&codes::DEAD_LETTER_NOT_FOUND)?;
    let command = letter.command(app.keys()).map(|command| command.action);
    Ok(render::json(
        StatusCode::OK,
        &DeadLetterWithCommandView {
            letter: letter.into(),
            command,
        },
    ))
}

/// Apply a dead letter's command again, under its own id
#[utoipa::path(post, path = "/api/admin/dead-letters/{id}/retry", tag = "Administration", operation_id = "retryDeadLetter",
    params(openapi::DeadLetterNumber, openapi::Prefer),
    responses(
        (status = 200, description = "The command was applied", body = SettledLetter),
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

/// Drop a dead letter
#[utoipa::path(post, path = "/api/admin/dead-letters/{id}/drop", tag = "Administration", operation_id = "dropDeadLetter",
    params(openapi::DeadLetterNumber, openapi::Prefer),
    responses(
        (status = 200, description = "The dead letter was dropped", body = SettledLetter),
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
    let id: i64 = id.parse().map_err(|_| &codes::DEAD_LETTER_NOT_FOUND)?;
    let slot = dead_letters::find(app.pool(), id)
        .await?
        .and_then(|letter| letter.slot())
        .ok_or(&codes::DEAD_LETTER_NOT_FOUND)?;
    let action = Action::SettleDeadLetter { id, is_retry };
    submit_unkeyed(&app.submitter, &headers, slot, action).await
}
