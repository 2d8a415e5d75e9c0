//! `/api/admin/stock`: finds drift, that is, counts of products that differ from their holds and orders, and repairs it.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::command::Action;
use holdfast_common::id::{ProductId, SLOTS};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::command_response::submit_unkeyed;
use crate::http::openapi;
use crate::http::parameters::{self, Path, Query};
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::operators::drift::{self, Drift};

/// After this time, a request ends with the cursor of the next one.
const COUNT_TIME: Duration = Duration::from_secs(2);
/// After this number of findings, a request ends. Its last step may add a few more.
const FINDINGS_ENOUGH: usize = 200;

#[derive(Deserialize)]
pub(in crate::routes) struct VerifyQuery {
    product_id: Option<String>,
    after: Option<String>,
}

/// The findings for some of the products.
#[derive(Serialize, ToSchema)]
#[schema(as = StockVerified)]
struct VerifiedView {
    /// The number of products that were counted
    products: usize,
    /// The products with drift
    drift: Vec<DriftView>,
    /// Send it as `after` to count further products. Null when all are counted
    #[schema(required)]
    next: Option<u16>,
}

/// A product with drift.
#[derive(Serialize, ToSchema)]
#[schema(as = StockDrift)]
struct DriftView {
    product_id: i64,
    name: String,
    /// Whether recalculating repairs it. It can't repair a paid order without its payment
    can_be_mended: bool,
    /// For each wrong count, what is `stored` and what it `should_be`
    #[schema(value_type = Object)]
    off: Map<String, Value>,
}

impl From<Drift> for DriftView {
    fn from(drift: Drift) -> Self {
        let (can_be_mended, off) = (drift.can_be_repaired(), drift.wrong_counts_by_name());
        Self {
            product_id: drift.product_id.0,
            name: drift.name,
            can_be_mended,
            off,
        }
    }
}

/// Find drift: counts of products that differ from their holds and orders
///
/// A request recounts one product, or as many as it can in 2 s. Then continue with `after` until `next` is null. A sale may
/// run meanwhile.
#[utoipa::path(get, path = "/api/admin/stock/verify", tag = "Administration", operation_id = "verifyStock",
    params(openapi::StockPage),
    responses(
        (status = 200, description = "The findings", body = VerifiedView),
        (status = 404, description = "product_not_found"),
    ))]
pub(in crate::routes) async fn verify(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Query(query): Query<VerifyQuery>,
) -> Result<Response, Problem> {
    let first_slot = query
        .after
        .as_deref()
        .map_or(Ok(0), str::parse)
        .ok()
        .filter(|slot| *slot < SLOTS)
        .ok_or_else(|| {
            Problem::invalid_field("after", "must be the `next` of the previous page")
        })?;
    let Some(product) = query.product_id.as_deref() else {
        return Ok(render::json(
            StatusCode::OK,
            &count_from(&app, first_slot).await?,
        ));
    };
    let product = product.parse().ok().filter(|id| *id > 0).map(ProductId);
    let product = product
        .ok_or_else(|| Problem::invalid_field("product_id", "must be a product's number"))?;
    let found = drift::verify_product(app.pool(), product).await?;
    if found.products == 0 {
        return Err(Problem::new(&codes::PRODUCT_NOT_FOUND));
    }
    let drift = found.drifts.into_iter().map(DriftView::from).collect();
    Ok(render::json(
        StatusCode::OK,
        &VerifiedView {
            products: found.products,
            drift,
            next: None,
        },
    ))
}

async fn count_from(app: &App, first: u16) -> Result<VerifiedView, Problem> {
    let end = Instant::now() + COUNT_TIME;
    let mut view = VerifiedView {
        products: 0,
        drift: Vec::new(),
        next: Some(first),
    };
    while let Some(first) = view.next {
        let step = drift::verify_slots(app.pool(), first).await?;
        view.products += step.products;
        view.drift
            .extend(step.drifts.into_iter().map(DriftView::from));
        view.next = step.next;
        if view.drift.len() >= FINDINGS_ENOUGH || Instant::now() >= end {
            break;
        }
    }
    Ok(view)
}

/// The counts of a repaired product.
#[derive(Serialize, ToSchema)]
#[schema(as = StockRepaired)]
#[allow(dead_code, reason = "describes the document of `StockRepair`")]
struct RepairedView {
    product_id: i64,
    before: CountsView,
    after: CountsView,
}

/// A product's counts.
#[derive(Serialize, ToSchema)]
#[schema(as = StockCounts)]
#[allow(dead_code, reason = "describes the document of `Counts`")]
struct CountsView {
    total_stock: i64,
    available_stock: i64,
    held_stock: i64,
    sold_stock: i64,
    holds_count: i64,
    hold_sequence: i64,
}

/// Recalculate a product's counts from its holds and orders
///
/// A sale may run meanwhile. When more units are held and sold than the product has, units are added, so that every hold and
/// order stays valid.
#[utoipa::path(post, path = "/api/admin/products/{id}/recalculate", tag = "Administration",
    operation_id = "recalculateStock", params(openapi::ProductNumber, openapi::Prefer),
    responses(
        (status = 200, description = "The counts before and after", body = RepairedView),
        (status = 404, description = "product_not_found"),
    ))]
pub(in crate::routes) async fn recalculate(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let product_id = parameters::product_id(&id)?;
    let action = Action::RepairStock { product_id };
    submit_unkeyed(&app.submitter, &headers, product_id.slot(), action).await
}
