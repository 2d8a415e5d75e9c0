//! From an action to its HTTP response, for every route that publishes a command and waits for its outcome.

use axum::http::HeaderMap;
use axum::response::Response;
use holdfast_common::command::{Action, Command};
use holdfast_common::id::Slot;

use crate::commands::submit::Submitter;
use crate::host_clock::new_request_id;
use crate::http::prefer::Preference;
use crate::http::problem::Problem;
use crate::http::{idempotency, render};

/// Submits a command and waits as long as the client prefers.
///
/// # Errors
/// 503 when the command is not known to be in the log.
pub async fn submit(
    submitter: &Submitter,
    headers: &HeaderMap,
    command: &Command,
) -> Result<Response, Problem> {
    let preference = Preference::of(headers);
    tracing::debug!(
        request_id = %command.request_id, action = command.action.name(),
        product_id = command.action.named_product().map(|id| id.0),
        hold_id = command.action.named_hold().map(tracing::field::display), "command submitted"
    );
    let wait = preference.wait(submitter.request_wait);
    let submitted = submitter.submit(command, wait).await?;
    Ok(render::submitted(&submitted, &preference))
}

/// Submits an action under the request's idempotency key, when it has one.
///
/// # Errors
/// 422 for an invalid key, and the errors of [`submit`].
pub async fn submit_keyed(
    submitter: &Submitter,
    headers: &HeaderMap,
    slot: Slot,
    action: Action,
) -> Result<Response, Problem> {
    let key = idempotency::key(headers, &submitter.keys, &action)?;
    let request_id = new_request_id(slot);
    let command = Command {
        request_id,
        key,
        action,
    };
    submit(submitter, headers, &command).await
}

/// Submits an action of a call that has no idempotency key.
///
/// # Errors
/// The errors of [`submit`].
pub async fn submit_unkeyed(
    submitter: &Submitter,
    headers: &HeaderMap,
    slot: Slot,
    action: Action,
) -> Result<Response, Problem> {
    let request_id = new_request_id(slot);
    let command = Command {
        request_id,
        key: None,
        action,
    };
    submit(submitter, headers, &command).await
}
