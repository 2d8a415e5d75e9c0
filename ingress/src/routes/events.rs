//! `/api/products/{id}/events`: a product's stock as server-sent events (WHATWG HTML, section 9.2).
//!
//! A subscriber gets the newest version at once and after changes, at most ten times a second. Each subscriber occupies a
//! connection, so their number is bounded. The server ends the connections of slow readers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};

use crate::app::App;
use crate::commands::load_shedding::Priority;
use crate::host_clock::new_request_id;
use crate::http::openapi;
use crate::http::parameters::{self, Path};
use crate::http::problem::{Problem, codes};

const LAST_EVENT_ID: &str = "last-event-id";
/// Tells nginx and similar proxies to forward each event at once.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Watch a product's stock
///
/// Server-sent events named `stock`: the product at once, then its newest version after each change, at most ten times a
/// second. The event's `id` is the version. A client that reconnects with `Last-Event-ID` gets only newer versions.
#[utoipa::path(get, path = "/api/products/{id}/events", tag = "Products", operation_id = "watchProduct",
    params(openapi::ProductNumber, openapi::LastEventId),
    responses(
        (status = 200, description = "An endless stream of events", body = String, content_type = "text/event-stream"),
        (status = 404, description = "product_not_found"),
        (status = 503, description = "overloaded"),
    ))]
pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parameters::product_id(&id)?;
    let subscribers = &app.products.subscribers;
    let product = app
        .products
        .get(id)
        .await?
        .ok_or(&codes::PRODUCT_NOT_FOUND)?;
    // Subscribers and waiting requests share the connections, and leave the same part of them to other requests.
    let waiter = || app.waiters.wait(new_request_id(id.slot()), Priority::Low);
    let permit = subscribers.permit(waiter).ok_or_else(|| {
        Problem::new(&codes::OVERLOADED)
            .with_detail("Too many clients watch products. Try again after `Retry-After`.")
    })?;
    let subscription = subscribers.subscribe(&product, last_event_id(&headers), permit);
    // The product may have changed between the read and the subscription.
    if let Some(newest) = app.products.get(id).await? {
        subscribers.publish(&newest);
    }
    let events = stream::unfold(subscription, async |mut subscription| {
        let event = subscription.next().await?;
        Some((Ok::<_, Infallible>(event), subscription))
    });
    let events = events.take_until(app.stopping.clone().cancelled_owned());
    let head = [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        (X_ACCEL_BUFFERING, "no"),
    ];
    Ok((head, Body::from_stream(events)).into_response())
}

/// The version that a client has seen before it reconnects. A value that is not a version is ignored.
fn last_event_id(headers: &HeaderMap) -> Option<i64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}
