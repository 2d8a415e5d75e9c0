//! Every path of the ingress. Each resource has one module, and none imports another.

mod admin;
mod events;
mod health;
mod holds;
mod metrics;
mod orders;
mod payments;
mod products;
mod requests;

use std::any::Any;
use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use axum::{Extension, Router};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use crate::app::App;
use crate::http::openapi;
use crate::http::problem::{Problem, codes};
use crate::pages::docs::DescriptionSource;
use crate::rate_limits;
use crate::{demo, pages};

type Routes = UtoipaMethodRouter<Arc<App>>;

/// Every path, with a problem document for other paths and other methods.
pub fn router(app: Arc<App>) -> Router {
    let limited = if app.rate_limits.has_address_limit() {
        limited_by_address().route_layer(from_fn_with_state(
            Arc::clone(&app.rate_limits),
            rate_limits::by_address,
        ))
    } else {
        limited_by_address()
    };
    joined(limited).with_state(app)
}

fn joined(limited: OpenApiRouter<Arc<App>>) -> Router<Arc<App>> {
    Router::from(limited.merge(unlimited()))
        .merge(page_routes())
        .fallback(async || Problem::new(&codes::NOT_FOUND))
        .layer(CatchPanicLayer::custom(panicked))
}

/// The description of every path.
pub(crate) fn description() -> OpenApi {
    let mut limited = limited_by_address();
    openapi::add_rate_limit(limited.get_openapi_mut());
    let all = OpenApiRouter::with_openapi(openapi::without_paths())
        .merge(limited)
        .merge(unlimited());
    openapi::completed(all.into_openapi())
}

/// Calls of shoppers, which are limited by client address.
fn limited_by_address() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(only(routes!(products::list)))
        .routes(only(routes!(products::show)))
        .routes(only(routes!(events::subscribe)))
        .routes(only(routes!(holds::create)))
        .routes(only(routes!(holds::show, holds::release)))
        .routes(only(routes!(orders::create)))
        .routes(only(routes!(orders::show)))
        .routes(only(routes!(requests::show)))
}

/// Calls of payment providers, operators and load balancers. They come from few addresses and must not get 429.
fn unlimited() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::default()
        .routes(only(routes!(payments::webhook)))
        .routes(only(routes!(admin::products::create)))
        .routes(only(routes!(admin::products::change)))
        .routes(only(routes!(admin::products::restock)))
        .routes(only(routes!(admin::stock::recalculate)))
        .routes(only(routes!(admin::stock::verify)))
        .routes(only(routes!(admin::lists::overview)))
        .routes(only(routes!(admin::workers::show)))
        .routes(only(routes!(admin::lists::payments)))
        .routes(only(routes!(admin::lists::refunds)))
        .routes(only(routes!(admin::refunds::retry)))
        .routes(only(routes!(admin::refunds::resolve)))
        .routes(only(routes!(admin::audit::list)))
        .routes(only(routes!(admin::dead_letters::list)))
        .routes(only(routes!(admin::dead_letters::show)))
        .routes(only(routes!(admin::dead_letters::retry)))
        .routes(only(routes!(admin::dead_letters::drop_letter)))
        .routes(only(routes!(admin::event_dead_letters::list)))
        .routes(only(routes!(admin::event_dead_letters::retry)))
        .routes(only(routes!(admin::event_dead_letters::drop_event)))
        .routes(only(routes!(health::alive)))
        .routes(only(routes!(health::ready)))
        .routes(only(routes!(metrics::show)))
        .routes(only(with_description(routes!(pages::docs::description))))
        .routes(only(routes!(pages::docs::page)))
}

/// Pages, their files, and the calls that only pages make.
fn page_routes() -> Router<Arc<App>> {
    let only = |allowed: &'static str, routes: MethodRouter<Arc<App>>| {
        routes.fallback(async move || Problem::method_not_allowed(allowed))
    };
    let session = post(pages::routes::sign_in)
        .delete(pages::routes::sign_out)
        .layer(DefaultBodyLimit::max(pages::routes::FORM_BYTES_MAX));
    Router::new()
        .route("/docs/{file}", only("GET, HEAD", get(pages::docs::file)))
        .route("/", only("GET, HEAD", get(pages::routes::store)))
        .route("/console", only("GET, HEAD", get(pages::routes::console)))
        .route("/console/session", only("POST, DELETE", session))
        .route("/demo/payments", only("POST", post(demo::routes::pay)))
        .route(
            "/assets/{hash}/{*file}",
            only("GET, HEAD", get(pages::routes::file)),
        )
}

/// Gives the handler of `/openapi.json` the description.
fn with_description((schemas, paths, methods): Routes) -> Routes {
    let source = Extension(DescriptionSource(description));
    (schemas, paths, methods.layer(source))
}

/// Responds to other methods with 405 and the methods that the path supports.
fn only((schemas, paths, methods): Routes) -> Routes {
    let allowed: Vec<_> = paths.paths.values().map(openapi::methods).collect();
    let allowed: Arc<str> = allowed.join(", ").into();
    let rejected = move || std::future::ready(Problem::method_not_allowed(&allowed));
    (schemas, paths, methods.fallback(rejected))
}

fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler panicked; the client gets 500");
    Problem::new(&codes::INTERNAL_ERROR).into_response()
}

#[cfg(test)]
mod tests;
