//! `/api/orders`: turn a hold into an order, look at one.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::Action;
use holdfast_common::id::HoldId;
use holdfast_common::outcome::Refusal;

use super::holds::command;
use crate::App;
use crate::clock;
use crate::http::body::{Fields, parsed};
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::http::render;
use crate::http::views::{ORDER_REFERENCE_PREFIX, OrderView};
use crate::overload::Room;
use crate::publisher::NotPublished;
use crate::store;

/// `POST /api/orders`
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let hold_id: Option<HoldId> = fields.required("hold_id", |value| parsed(value).map(Some));
    fields.finish()?;
    // `finish` refuses a request without a hold.
    let hold_id = hold_id.ok_or_else(Problem::internal)?;
    let action = Action::CreateOrder { hold_id };
    // Nothing is looked up for what would be refused all the same.
    if app.waiters.is_full(Room::of(&action)) {
        return Err(NotPublished::QueueFull.into());
    }
    refuse_expired(&app, &headers, hold_id, &action).await?;
    command(&app, &headers, hold_id.slot(), action).await
}

/// A hold is expired from the first instant on, also while no worker is there to say so. Only a look before the command
/// is in the log can say it: a batch that was begun in time may still consume the hold. A hold that can't have run out
/// costs no look.
async fn refuse_expired(app: &App, headers: &HeaderMap, hold_id: HoldId, action: &Action) -> Result<(), Problem> {
    if !clock::may_have_expired(hold_id, app.settings.holds.hold_expiry_seconds) {
        return Ok(());
    }
    match store::has_expired(app.pool(), hold_id, idempotency::key(headers, action)?).await {
        Ok(true) => Err(Refusal::HoldExpired.into()),
        Ok(false) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "whether a hold has expired could not be looked up; its worker will say");
            Ok(())
        }
    }
}

/// `GET /api/orders/{id or reference}`
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let not_found = || Problem::not_found("order_not_found");
    let id = id.strip_prefix(ORDER_REFERENCE_PREFIX).unwrap_or(&id).parse().map_err(|_| not_found())?;
    let order = store::order(&app.connections.pool, id).await?.ok_or_else(not_found)?;
    Ok(render::json(StatusCode::OK, &OrderView::from(&order)))
}
