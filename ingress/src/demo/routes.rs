//! `/demo/payments`: the demo store's page calls it to pay for an order. Without `DEMO_STORE` the path is 404.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use holdfast_common::id::HoldId;
use serde_json::{Value, json};

use crate::app::App;
use crate::demo::loopback;
use crate::demo::payments::{self, PaymentScenario};
use crate::http::body::fields::{Body, Fields, RequestBody};
use crate::http::body::value_types::{Custom, Id};
use crate::http::openapi::schemas;
use crate::http::problem::{Problem, codes};
use crate::http::render;

const SCENARIO: Custom<PaymentScenario> = Custom {
    read: |value| {
        let scenario = value.as_str().and_then(PaymentScenario::named);
        scenario.ok_or_else(|| {
            "must be pay, fail, pay_twice, pay_late or webhook_before_order".to_owned()
        })
    },
    schema: || schemas::string().into(),
};

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

pub(crate) struct DemoPayment {
    order_id: HoldId,
    scenario: PaymentScenario,
}

impl RequestBody for DemoPayment {
    const DESCRIPTION: &'static str = "A payment to simulate.";

    fn example() -> Value {
        json!({"order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "kind": "pay"})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let order_id = fields.required("order_id", Id);
        let scenario = fields.required("kind", SCENARIO);
        Some(Self {
            order_id: order_id?,
            scenario: scenario?,
        })
    }
}

/// `POST /demo/payments`: sends the webhooks of a payment provider for an order.
pub(crate) async fn pay(
    _demo: Demo,
    State(app): State<Arc<App>>,
    Body(DemoPayment { order_id, scenario }): Body<DemoPayment>,
) -> Result<Response, Problem> {
    let ingress = loopback::address(app.listening);
    let sent = payments::deliver(&app.webhook_secrets, ingress, scenario, order_id).await?;
    Ok(render::json(StatusCode::OK, &json!({"webhooks": sent})))
}
