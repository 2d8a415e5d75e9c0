//! `/api/holds`: creates, reads and releases holds.

mod new_hold;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::Action;
use holdfast_common::id::{HoldId, ProductId};

use self::new_hold::NewHold;
use crate::app::App;
use crate::http::body::fields::Body;
use crate::http::command_response::submit_keyed;
use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::prefer::Preference;
use crate::http::problem::{Problem, codes};
use crate::http::views::HoldView;
use crate::http::{idempotency, render};
use crate::metrics::METRICS;
use crate::rate_limits::with_rate_limit_headers;
use crate::store;

/// Create a hold
#[utoipa::path(post, path = "/api/holds", tag = "Holds", operation_id = "createHold",
    params(openapi::IdempotencyKey, openapi::Prefer), request_body = NewHold,
    responses(
        (status = 201, description = "The hold", body = HoldView),
        (status = 404, description = "product_not_found"),
        (status = 409, description = "insufficient_stock, purchase_limit_reached, sale_not_open"),
    ))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(hold): Body<NewHold>,
) -> Result<Response, Problem> {
    let NewHold {
        product_id,
        quantity,
        customer_id,
    } = hold;
    let product_id = ProductId(product_id);
    let left = app.rate_limits.check_customer(customer_id.as_deref())?;
    // Two requests are not refused from memory: one with a key may be a repeat, which gets the first outcome, and one that
    // does not wait gets its position.
    let preference = Preference::of(&headers);
    if !idempotency::is_keyed(&headers)
        && !preference.wait(Duration::MAX).is_zero()
        && let Some(product) = app.products.sold_out(product_id, quantity).await
    {
        METRICS.sold_out.increment(1);
        let response = product.sold_out_response(&preference);
        return Ok(with_rate_limit_headers(response, left));
    }
    let action = Action::CreateHold {
        product_id,
        quantity,
        customer_id,
    };
    let response = submit_keyed(&app.submitter, &headers, product_id.slot(), action).await?;
    if response.status() == StatusCode::CONFLICT {
        tokio::spawn(async move { app.products.refresh(product_id).await });
    }
    Ok(with_rate_limit_headers(response, left))
}

/// Read a hold
#[utoipa::path(get, path = "/api/holds/{id}", tag = "Holds", operation_id = "getHold", params(openapi::HoldNumber),
    responses(
        (status = 200, description = "The hold in its present state", body = HoldView),
        (status = 404, description = "hold_not_found"),
    ))]
pub(super) async fn show(State(app): State<Arc<App>>, Path(id): Path) -> Result<Response, Problem> {
    let id = parse_id(&id)?;
    let found = store::hold(&app.connections.pool, app.keys(), id).await?;
    let (hold, now) = found.ok_or(&codes::HOLD_NOT_FOUND)?;
    // A client that reads that a hold has expired may request its units, so the cache must not refuse by an older time.
    app.products.freshness.record_time(now);
    Ok(render::json(StatusCode::OK, &HoldView::at(&hold, now)))
}

/// Release a hold
///
/// Repeating it is 200.
#[utoipa::path(delete, path = "/api/holds/{id}", tag = "Holds", operation_id = "releaseHold",
    params(openapi::HoldNumber, openapi::IdempotencyKey, openapi::Prefer),
    responses(
        (status = 200, description = "The hold, released", body = HoldView),
        (status = 404, description = "hold_not_found"),
        (status = 409, description = "hold_consumed"),
        (status = 410, description = "hold_expired"),
    ))]
pub(super) async fn release(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let hold_id = parse_id(&id)?;
    let action = Action::ReleaseHold { hold_id };
    submit_keyed(&app.submitter, &headers, hold_id.slot(), action).await
}

fn parse_id(text: &str) -> Result<HoldId, Problem> {
    Ok(text.parse().map_err(|_| &codes::HOLD_NOT_FOUND)?)
}
