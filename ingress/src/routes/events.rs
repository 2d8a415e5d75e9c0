//! `/api/products/{id}/events`: a product's stock as server-sent events (WHATWG HTML, section 9.2).
//!
//! A subscriber is shown the newest version, at once and on every change, at most ten times a second. It has a connection
//! for itself, so there are only so many. A reader that is too slow is cut off by the server beneath.

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
use crate::http::parameters::Path;
use crate::http::problem::{Problem, codes};
use crate::routes::products::read_id;

const LAST_EVENT_ID: &str = "last-event-id";
/// Asks nginx, and who does as it does, to pass on each event as it comes.
const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// One product's stock, as it changes
///
/// Server-sent events named `stock`: the product at once, then its newest version after each change, at most ten times a
/// second; `id` is the version. Who comes again with `Last-Event-ID` is shown what is newer.
#[utoipa::path(get, path = "/api/products/{id}/events", tag = "Products", operation_id = "watchProduct",
    params(openapi::ProductNumber, openapi::LastEventId),
    responses(
        (status = 200, description = "Events without end", body = String, content_type = "text/event-stream"),
        (status = 404, description = "product_not_found"),
        (status = 503, description = "overloaded"),
    ))]
pub(super) async fn subscribe(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = read_id(&id)?;
    let not_found = || Problem::new(&codes::PRODUCT_NOT_FOUND);
    let too_many = || {
        Problem::new(&codes::OVERLOADED)
            .with_detail("Too many clients watch products. Try again after `Retry-After`.")
    };
    let subscribers = &app.products.subscribers;
    let product = app.products.get(id).await?.ok_or_else(not_found)?;
    // Subscribers and waiting requests share the connections, and leave the same part of them to others.
    let waiter = || app.waiters.wait(new_request_id(id.slot()), Priority::Low);
    let permit = subscribers.permit(waiter).ok_or_else(too_many)?;
    let subscription = subscribers.subscribe(&product, has(&headers), permit);
    // The product may have changed before the subscription.
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

/// The version that a client which reconnects has seen. What is no version of ours is passed over.
fn has(headers: &HeaderMap) -> Option<i64> {
    headers.get(LAST_EVENT_ID)?.to_str().ok()?.parse().ok()
}
