//! `/api/orders`: creates orders from holds, and reads them.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::{Action, Command};
use holdfast_common::domain::Decision;
use holdfast_common::id::{HoldId, OrderReference};
use holdfast_common::outcome::{Outcome, Refusal};
use serde_json::{Value, json};

use crate::app::App;
use crate::commands::load_shedding::Priority;
use crate::commands::not_published::NotPublished;
use crate::commands::submit::Submitted;
use crate::host_clock::{self, new_request_id};
use crate::http::body::fields::{Body, Fields, RequestBody, impl_body_schema};
use crate::http::body::value_types::{Id, ValueType};
use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::prefer::Preference;
use crate::http::problem::{Problem, codes};
use crate::http::views::OrderView;
use crate::http::{command_response, idempotency, render};
use crate::store;

/// The longest wait for the outcome of an order on an expired hold.
const EXPIRED_WAIT: Duration = Duration::from_secs(1);
/// The timeout for reading whether a hold has expired.
const EXPIRY_READ_WAIT: Duration = Duration::from_millis(500);

pub(super) struct NewOrder {
    hold_id: HoldId,
}

impl_body_schema!(NewOrder as "NewOrder");

impl RequestBody for NewOrder {
    const DESCRIPTION: &'static str = "An order to create.";

    fn example() -> Value {
        json!({"hold_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9"})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let hold_id = fields.required("hold_id", Id.about("An active hold"));
        Some(Self { hold_id: hold_id? })
    }
}

/// Create an order from a hold
#[utoipa::path(post, path = "/api/orders", tag = "Orders", operation_id = "createOrder",
    params(openapi::IdempotencyKey, openapi::Prefer), request_body = NewOrder,
    responses(
        (status = 201, description = "The order. It is paid already when its payment arrived before it.", body = OrderView,
            links(("order" = (operation_id = "getOrder", parameters(("id" = "$response.body#/order_id")))))),
        (status = 404, description = "hold_not_found"),
        (status = 409, description = "hold_consumed, hold_released"),
        (status = 410, description = "hold_expired"),
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(NewOrder { hold_id }): Body<NewOrder>,
) -> Result<Response, Problem> {
    let action = Action::CreateOrder { hold_id };
    // An overloaded ingress refuses the request before it reads from Postgres.
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
        return respond_expired(&app, &headers, &command).await;
    }
    command_response::submit(&app.submitter, &headers, &command).await
}

/// Whether a hold has expired. It must be read before the command is in the log: afterwards, a batch that started in time
/// may still consume the hold. A hold that can't have expired costs no read.
async fn has_expired(app: &App, hold_id: HoldId) -> bool {
    if !host_clock::may_have_expired(hold_id, app.settings.holds.hold_expiry_seconds) {
        return false;
    }
    match tokio::time::timeout(EXPIRY_READ_WAIT, store::has_expired(app.pool(), hold_id)).await {
        Ok(Ok(has_expired)) => return has_expired,
        Ok(Err(error)) => tracing::warn!(
            %error, %hold_id, "reading whether a hold has expired failed; its worker decides"
        ),
        Err(_) => tracing::warn!(
            %hold_id, timeout = ?EXPIRY_READ_WAIT,
            "reading whether a hold has expired timed out; its worker decides"
        ),
    }
    false
}

/// Refuses an order on an expired hold, also while no worker runs. A request with a key still becomes a command, because
/// its outcome is stored, or an earlier outcome is replayed. The response waits up to `EXPIRED_WAIT` for it.
async fn respond_expired(
    app: &App,
    headers: &HeaderMap,
    command: &Command,
) -> Result<Response, Problem> {
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

/// Read an order
#[utoipa::path(get, path = "/api/orders/{id}", tag = "Orders", operation_id = "getOrder", params(openapi::OrderNumber),
    responses(
        (status = 200, description = "The order", body = OrderView),
        (status = 404, description = "order_not_found"),
    ))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path) -> Result<Response, Problem> {
    let id = id
        .parse()
        .map(OrderReference::order_id)
        .map_err(|_| &codes::ORDER_NOT_FOUND)?;
    let order = store::order(&app.connections.pool, app.keys(), id)
        .await?
        .ok_or(&codes::ORDER_NOT_FOUND)?;
    Ok(render::json(StatusCode::OK, &OrderView::from(&order)))
}
