//! `/api/products`: reads products. A single product comes from the cache, the list from Postgres.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::id::ProductId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::App;
use crate::http::openapi;
use crate::http::parameters::page::PageQuery;
use crate::http::parameters::{self, Path, Query};
use crate::http::problem::{Problem, codes};
use crate::http::render;
use crate::http::views::ProductView;
use crate::store;

#[derive(Serialize, ToSchema)]
#[schema(as = Products)]
struct ProductsView<'a> {
    products: Vec<ProductView<'a>>,
    /// Send it as `after` to get the next page
    #[schema(required)]
    next: Option<i64>,
}

/// List products
#[utoipa::path(get, path = "/api/products", tag = "Products", operation_id = "listProducts", params(openapi::Page),
    responses((status = 200, description = "A page of products", body = ProductsView)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(page): Query<PageQuery>,
) -> Result<Response, Problem> {
    let (after, limit) = page.numbered()?;
    let pool = &app.connections.pool;
    let mut found = store::products(pool, ProductId(after), limit.rows()).await?;
    let next = limit.cut(&mut found, |last| last.product.id.0);
    let products = found.iter().map(ProductView::from).collect();
    Ok(render::json(
        StatusCode::OK,
        &ProductsView { products, next },
    ))
}

/// Read a product and its stock
///
/// The product comes from memory. It may lag a write by up to 1 s.
#[utoipa::path(get, path = "/api/products/{id}", tag = "Products", operation_id = "getProduct",
    params(openapi::ProductNumber, openapi::IfNoneMatch),
    responses(
        (status = 200, description = "The product", body = ProductView),
        (status = 304, description = "The client has this version"),
        (status = 404, description = "product_not_found"),
    ))]
pub(super) async fn show(
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parameters::product_id(&id)?;
    let product = app.products.get(id).await?;
    Ok(product.ok_or(&codes::PRODUCT_NOT_FOUND)?.response(&headers))
}
