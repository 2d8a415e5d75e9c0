//! `/demo`: what the demo store calls beside the API. Without `DEMO_STORE` there is nothing here, and a crowd of buyers only
//! where `holdfast dev` runs.

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use holdfast_common::command::{Action, Command, NewProduct};
use holdfast_common::domain::Decision;
use holdfast_common::outcome::Outcome;
use serde_json::json;

use crate::App;
use crate::commands::clock::new_request_id;
use crate::commands::submit::{Submitted, submit};
use crate::demo::crowd::{self, BUYERS_MAX, UNITS_MAX};
use crate::demo::payments::{self, Kind};
use crate::http::body::{Fields, integer, parsed};
use crate::http::problem::Problem;
use crate::http::render;
use crate::store;

/// What one unit costs that a crowd is after, in minor units.
const CROWD_PRICE_MINOR: i64 = 4900;

/// Proof that there is a demo store.
pub(crate) struct Demo;

impl FromRequestParts<Arc<App>> for Demo {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if app.has_demo_store() {
            Ok(Self)
        } else {
            Err(Problem::not_found("not_found"))
        }
    }
}

/// Proof that a crowd may come.
pub(crate) struct MayCrowd;

impl FromRequestParts<Arc<App>> for MayCrowd {
    type Rejection = Problem;

    async fn from_request_parts(_: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        if app.has_crowd() {
            Ok(Self)
        } else {
            Err(Problem::not_found("not_found"))
        }
    }
}

/// `POST /demo/payments`: has a stand-in for a payment provider send its webhooks for an order.
pub(crate) async fn pay(
    _demo: Demo,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let order_id = fields.required("order_id", |value| parsed(value).map(Some));
    let kind = fields.required("kind", |value| {
        let kind = value.as_str().and_then(Kind::named);
        kind.map(Some).ok_or_else(|| {
            "must be pay, fail, pay_twice, pay_late or webhook_before_order".to_owned()
        })
    });
    fields.finish()?;
    // `finish` refuses a request without them.
    let (order_id, kind) = order_id.zip(kind).ok_or_else(Problem::internal)?;
    let sent = payments::deliver(&app, kind, order_id).await?;
    Ok(render::json(StatusCode::OK, &json!({"webhooks": sent})))
}

/// `GET /demo/crowd`
pub(crate) async fn crowd(_may: MayCrowd, State(app): State<Arc<App>>) -> Response {
    render::json(StatusCode::OK, &json!({"crowd": app.crowd.progress()}))
}

/// `POST /demo/crowd`: lets so many buyers come for so many units of a new product.
pub(crate) async fn begin_crowd(
    _may: MayCrowd,
    State(app): State<Arc<App>>,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let buyers = fields.required("buyers", integer(1, BUYERS_MAX));
    let units = fields.required("units", integer(1, UNITS_MAX));
    fields.finish()?;
    if !app.crowd.begin(buyers.cast_unsigned(), units) {
        let detail = "A crowd is here already: wait until it has gone.";
        return Err(Problem::new(StatusCode::CONFLICT, "crowd_is_here", detail));
    }
    let product_id = match add_product(&app, units).await {
        Ok(product_id) => product_id,
        Err(problem) => {
            app.crowd.note(|progress| progress.is_done = true);
            return Err(problem);
        }
    };
    tokio::spawn(crowd::come(
        Arc::clone(&app),
        product_id,
        buyers.cast_unsigned(),
    ));
    Ok(render::json(
        StatusCode::CREATED,
        &json!({"product_id": product_id}),
    ))
}

async fn add_product(app: &App, total_stock: i64) -> Result<i64, Problem> {
    let product_id = store::next_product_id(app.pool()).await?;
    let action = Action::CreateProduct(NewProduct {
        product_id,
        name: format!("{total_stock} lamps for a crowd"),
        price_minor: CROWD_PRICE_MINOR,
        currency: "EUR".parse().map_err(|_| Problem::internal())?,
        total_stock,
        max_per_customer: Some(1),
        sale_starts_at: None,
        sale_ends_at: None,
    });
    let command = Command {
        request_id: new_request_id(product_id.slot()),
        key: None,
        action,
    };
    let wait = std::time::Duration::from_millis(app.settings.ingress.request_wait_ms);
    match submit(app, &command, wait).await? {
        Submitted::Done(Decision {
            outcome: Outcome::ProductCreated(_),
            ..
        }) => Ok(product_id.0),
        _ => Err(Problem::unavailable(
            "overloaded",
            "The crowd's product was not added in time.",
        )),
    }
}
