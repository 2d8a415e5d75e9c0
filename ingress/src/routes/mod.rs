//! The endpoints of the contract, one module a resource.

mod admin;
mod events;
mod health;
mod holds;
mod orders;
mod payments;
mod products;
mod requests;

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use tower_http::catch_panic::CatchPanicLayer;

use crate::App;
use crate::http::problem::Problem;
use crate::rate_limits;

type Routes = MethodRouter<Arc<App>>;

/// Every path, with a problem document for other paths and other methods.
pub fn router(app: Arc<App>) -> Router {
    let limited = if app.rate_limits.has_address_limit() {
        limited_by_address().route_layer(from_fn_with_state(Arc::clone(&app), rate_limits::by_address))
    } else {
        limited_by_address()
    };
    limited
        .merge(unlimited())
        .fallback(async || Problem::not_found("not_found"))
        .layer(CatchPanicLayer::custom(panicked))
        .with_state(app)
}

/// What shoppers call.
fn limited_by_address() -> Router<Arc<App>> {
    Router::new()
        .route("/api/holds", only("POST", post(holds::create)))
        .route("/api/holds/{id}", only("GET, HEAD, DELETE", get(holds::show).delete(holds::release)))
        .route("/api/orders", only("POST", post(orders::create)))
        .route("/api/orders/{id}", only("GET, HEAD", get(orders::show)))
        .route("/api/products", only("GET, HEAD", get(products::list)))
        .route("/api/products/{id}", only("GET, HEAD", get(products::show)))
        .route("/api/products/{id}/events", only("GET, HEAD", get(events::subscribe)))
        .route("/api/requests/{id}", only("GET, HEAD", get(requests::show)))
}

/// What payment providers, operators and load balancers call: few addresses, and none of them may be turned away.
fn unlimited() -> Router<Arc<App>> {
    Router::new()
        .route("/api/payments/webhook", only("POST", post(payments::webhook)))
        .route("/api/admin/products", only("POST", post(admin::create_product)))
        .route("/api/admin/products/{id}", only("PATCH", axum::routing::patch(admin::change_product)))
        .route("/api/admin/products/{id}/restock", only("POST", post(admin::restock)))
        .route("/api/admin/audit", only("GET, HEAD", get(admin::audit::list)))
        .route("/api/admin/dead-letters", only("GET, HEAD", get(admin::dead_letters::list)))
        .route("/api/admin/dead-letters/{id}/retry", only("POST", post(admin::dead_letters::retry)))
        .route("/api/admin/dead-letters/{id}/drop", only("POST", post(admin::dead_letters::drop_letter)))
        .route("/api/admin/event-dead-letters", only("GET, HEAD", get(admin::event_dead_letters::list)))
        .route("/api/admin/overview", only("GET, HEAD", get(admin::lists::overview)))
        .route("/api/admin/payments", only("GET, HEAD", get(admin::lists::payments)))
        .route("/api/admin/refunds", only("GET, HEAD", get(admin::lists::refunds)))
        .route("/healthz", only("GET, HEAD", get(health::alive)))
        .route("/readyz", only("GET, HEAD", get(health::ready)))
}

/// Answers other methods with what there is.
fn only(allowed: &'static str, routes: Routes) -> Routes {
    routes.fallback(async move || Problem::method_not_allowed(allowed))
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request's handler panicked");
    Problem::internal().into_response()
}
