//! `/demo/payments`: the demo store's page calls it to pay for an order. Without `DEMO_STORE` the path is 404.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use serde_json::json;

use crate::app::App;
use crate::demo::payments::{self, PaymentScenario};
use crate::http::body::{Fields, parsed};
use crate::http::problem::{Problem, codes};
use crate::http::render;

/// Extracted only when `DEMO_STORE` is on.
pub(crate) struct Demo;

impl FromRequestParts<Arc<App>> for Demo {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if app.settings.has_demo_store() {
            Ok(Self)
        } else {
            Err(Problem::new(&codes::NOT_FOUND))
        }
    }
}

/// `POST /demo/payments`: sends the webhooks of a payment provider for an order.
pub(crate) async fn pay(
    _demo: Demo,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let order_id = fields.required("order_id", |value| parsed(value).map(Some));
    let scenario = fields.required("kind", |value| {
        let scenario = value.as_str().and_then(PaymentScenario::named);
        scenario.map(Some).ok_or_else(|| {
            "must be pay, fail, pay_twice, pay_late or webhook_before_order".to_owned()
        })
    });
    fields.finish()?;
    // `finish` rejects a request without these fields.
    let (order_id, scenario) = order_id.zip(scenario).ok_or(&codes::INTERNAL_ERROR)?;
    let sent = payments::deliver(&app.webhook_secrets, app.loopback, scenario, order_id).await?;
    Ok(render::json(StatusCode::OK, &json!({"webhooks": sent})))
}
