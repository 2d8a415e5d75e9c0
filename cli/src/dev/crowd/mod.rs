//! `/demo/crowd`: many simulated buyers for few units of a new product, which the store's page starts and watches.
//!
//! Only `holdfast dev` serves these routes, because a crowd sends the ingress thousands of requests. Everything here goes
//! through the ingress's HTTP API. [`buyers`] sends the requests, and [`progress`] counts the responses.

mod buyers;
mod progress;

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode, header};
use axum::routing::get;
use axum::{Extension, Json, Router};
use holdfast_common::settings::Secret;
use holdfast_ingress::demo::loopback::{self, Response};
use holdfast_ingress::http::problem::{Problem, codes};
use holdfast_ingress::pages::HtmlPage;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use progress::CrowdProgress;

const BUYERS_MAX: u64 = 2000;
const UNITS_MAX: i64 = 1000;
/// The price of one unit of the crowd's product, in cents.
const PRICE_MINOR: i64 = 4900;

pub(super) struct Crowd {
    ingress: SocketAddr,
    admin_token: Secret,
    progress: CrowdProgress,
    /// Ends a running crowd when `dev` stops.
    stop: CancellationToken,
}

/// The number of buyers, and the number of units that they compete for.
#[derive(Deserialize)]
struct CrowdRequest {
    buyers: u64,
    units: i64,
}

impl Crowd {
    pub(super) fn new(ingress: SocketAddr, admin_token: Secret, stop: CancellationToken) -> Self {
        Self {
            ingress,
            admin_token,
            progress: CrowdProgress::default(),
            stop,
        }
    }

    /// Adds the crowd's routes to the ingress's, and the link to them to the store's page.
    pub(super) fn add_to(self, ingress: Router) -> Router {
        let crowd = get(show)
            .post(start)
            .fallback(async || Problem::method_not_allowed("GET, HEAD, POST"));
        let crowd = Router::new()
            .route("/demo/crowd", crowd)
            .with_state(Arc::new(self));
        ingress
            .merge(crowd)
            .layer(Extension(HtmlPage::StoreWithCrowd))
    }

    /// Adds a product with this many units, and returns its id.
    async fn add_product(&self, units: i64) -> Option<i64> {
        let product = json!({
            "name": format!("{units} lamps for a crowd"),
            "price_minor": PRICE_MINOR,
            "currency": "EUR",
            "total_stock": units,
            "max_per_customer": 1,
        });
        let bearer = format!("Bearer {}", self.admin_token.expose());
        let Response { status, body, .. } = loopback::send(
            self.ingress,
            Method::POST,
            "/api/admin/products",
            &[(header::AUTHORIZATION, &bearer)],
            product.to_string().into(),
        )
        .await
        .ok()?;
        body["id"]
            .as_i64()
            .filter(|_| status == StatusCode::CREATED)
    }
}

/// `GET /demo/crowd`: the counts of the running or last crowd.
async fn show(State(crowd): State<Arc<Crowd>>) -> Json<Value> {
    Json(json!({"crowd": crowd.progress.get()}))
}

/// `POST /demo/crowd`: starts a crowd, unless one is running.
async fn start(
    State(crowd): State<Arc<Crowd>>,
    Json(CrowdRequest { buyers, units }): Json<CrowdRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if !(1..=BUYERS_MAX).contains(&buyers) || !(1..=UNITS_MAX).contains(&units) {
        let detail =
            format!("Send `buyers` from 1 to {BUYERS_MAX} and `units` from 1 to {UNITS_MAX}.");
        return Err(Problem::new(&codes::INVALID_REQUEST).with_detail(detail));
    }
    if !crowd.progress.start(buyers, units) {
        return Err(Problem::new(&codes::CROWD_IS_HERE));
    }
    let Some(product_id) = crowd.add_product(units).await else {
        crowd.progress.update(|progress| progress.is_done = true);
        let detail = "The crowd's product was not added in time. Try again.";
        return Err(Problem::new(&codes::OVERLOADED).with_detail(detail));
    };
    tokio::spawn(buyers::run(crowd, product_id, buyers));
    Ok((StatusCode::CREATED, Json(json!({"product_id": product_id}))))
}
