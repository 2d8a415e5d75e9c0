//! `/api/orders`: turn a hold into an order, look at one.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::{Action, Command};
use holdfast_common::domain::Decision;
use holdfast_common::id::HoldId;
use holdfast_common::outcome::{Outcome, Refusal};

use crate::app::App;
use crate::commands::load_shedding::Priority;
use crate::commands::not_published::NotPublished;
use crate::commands::submit::Submitted;
use crate::host_clock::{self, new_request_id};
use crate::http::body::{Fields, parsed};
use crate::http::idempotency;
use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::prefer::Preference;
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::http::views::{ORDER_REFERENCE_PREFIX, OrderView};
use crate::routes::requests::answer;
use crate::store;

/// How long the outcome of an order on an expired hold is waited for.
const EXPIRED_WAIT: Duration = Duration::from_secs(1);
/// How long the look may take whether a hold has expired.
const LOOK_WAIT: Duration = Duration::from_millis(500);

/// Makes a hold an order
#[utoipa::path(post, path = "/api/orders", tag = "Orders", operation_id = "createOrder",
    params(openapi::IdempotencyKey, openapi::Prefer), request_body = openapi::NewOrder,
    responses(
        (status = 201, description = "The order; paid already when its payment came before it", body = OrderView,
            links(("order" = (operation_id = "getOrder", parameters(("id" = "$response.body#/order_id")))))),
        (status = 404, description = "hold_not_found"),
        (status = 409, description = "hold_consumed, hold_released"),
        (status = 410, description = "hold_expired"),
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let hold_id: Option<HoldId> = fields.required("hold_id", |value| parsed(value).map(Some));
    fields.finish()?;
    // `finish` refuses a request without a hold.
    let hold_id = hold_id.ok_or(&codes::INTERNAL_ERROR)?;
    let action = Action::CreateOrder { hold_id };
    // Nothing is looked up for what would be refused all the same.
    if app.waiters.is_full(Priority::of(&action)) {
        return Err(NotPublished::QueueFull.into());
    }
    let key = idempotency::key(&headers, app.keys(), &action)?;
    let command = Command {
        request_id: new_request_id(hold_id.slot()),
        key,
        action,
    };
    if has_expired(&app, hold_id).await {
        return expired(&app, &headers, &command).await;
    }
    answer(&app, &headers, &command).await
}

/// Whether a hold's time has run out. Only a look before the command is in the log can say it: a batch that was begun in
/// time may still consume the hold. A hold that can't have run out costs no look.
async fn has_expired(app: &App, hold_id: HoldId) -> bool {
    if !host_clock::may_have_expired(hold_id, app.settings.holds.hold_expiry_seconds) {
        return false;
    }
    match tokio::time::timeout(LOOK_WAIT, store::has_expired(app.pool(), hold_id)).await {
        Ok(Ok(has_expired)) => return has_expired,
        Ok(Err(error)) => {
            tracing::warn!(%error, "whether a hold has expired could not be looked up; its worker will say")
        }
        Err(_) => {
            tracing::warn!(
                "whether a hold has expired could not be looked up in {LOOK_WAIT:?}; its worker will say"
            )
        }
    }
    false
}

/// A hold is expired from the first instant on, also while no worker is there to say so. A request with a key is still
/// sent its way: its outcome is kept, or is that of an earlier one. The answer waits a moment for that.
async fn expired(app: &App, headers: &HeaderMap, command: &Command) -> Result<Response, Problem> {
    let preference = Preference::of(headers);
    if command.key.is_some()
        && let Ok(done @ Submitted::Done(_)) = app
            .submitter
            .submit(command, preference.wait(EXPIRED_WAIT))
            .await
    {
        return Ok(render::submitted(&done, &preference));
    }
    let refused = Submitted::Done(Decision {
        replayed: false,
        outcome: Outcome::Refused(Refusal::HoldExpired),
    });
    Ok(render::submitted(&refused, &preference))
}

/// An order
#[utoipa::path(get, path = "/api/orders/{id}", tag = "Orders", operation_id = "getOrder", params(openapi::OrderNumber),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 404, description = "order_not_found"),
    ))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path) -> Result<Response, Problem> {
    let not_found = || Problem::new(&codes::ORDER_NOT_FOUND);
    let id = id
        .strip_prefix(ORDER_REFERENCE_PREFIX)
        .unwrap_or(&id)
        .parse()
        .map_err(|_| not_found())?;
    let order = store::order(&app.connections.pool, app.keys(), id)
        .await?
        .ok_or_else(not_found)?;
    Ok(render::json(StatusCode::OK, &OrderView::from(&order)))
}
