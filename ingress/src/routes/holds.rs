//! `/api/holds`: set units aside, look at a hold, give it back.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::{Action, CUSTOMER_CHARS_MAX, Command, QUANTITY_MAX};
use holdfast_common::id::{HoldId, ProductId, Slot};

use super::requests::answer;
use crate::App;
use crate::clock::new_request_id;
use crate::http::body::{Fields, integer, text};
use crate::http::idempotency;
use crate::http::problem::Problem;
use crate::http::render;
use crate::http::views::HoldView;
use crate::rate_limits::told;
use crate::store;

/// `POST /api/holds`
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let product_id = ProductId(fields.required("product_id", integer(1, i64::MAX)));
    let quantity = fields.required("quantity", integer(1, QUANTITY_MAX.into())) as u32;
    let customer_id = fields.optional("customer_id", text(CUSTOMER_CHARS_MAX));
    fields.finish()?;
    let left = app.rate_limits.check_customer(customer_id.as_deref())?;
    let action = Action::CreateHold { product_id, quantity, customer_id };
    Ok(told(command(&app, &headers, product_id.slot(), action).await?, left))
}

/// `GET /api/holds/{id}`
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path<String>) -> Result<Response, Problem> {
    let id = read_id(&id)?;
    let found = store::hold(&app.connections.pool, id).await?;
    let (hold, now) = found.ok_or_else(|| Problem::not_found("hold_not_found"))?;
    Ok(render::json(StatusCode::OK, &HoldView::at(&hold, now)))
}

/// `DELETE /api/holds/{id}`
pub(super) async fn release(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hold_id = read_id(&id)?;
    command(&app, &headers, hold_id.slot(), Action::ReleaseHold { hold_id }).await
}

fn read_id(text: &str) -> Result<HoldId, Problem> {
    text.parse().map_err(|_| Problem::not_found("hold_not_found"))
}

/// Sends an action that may come with an idempotency key.
pub(super) async fn command(app: &App, headers: &HeaderMap, slot: Slot, action: Action) -> Result<Response, Problem> {
    let key = idempotency::key(headers, &action)?;
    answer(app, headers, &Command { request_id: new_request_id(slot), key, action }).await
}
