//! `/api/products`: what is on sale. Single products come from memory, the list from the table.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use holdfast_common::id::ProductId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::App;
use crate::http::openapi;
use crate::http::parameters::{Path, Query};
use crate::http::problem::{FieldError, Problem, codes};
use crate::http::render;
use crate::http::views::ProductView;
use crate::store;

/// How many products a page of the list has, and how many it can have.
pub(crate) const PAGE: i64 = 50;
pub(crate) const PAGE_MAX: i64 = 200;

#[derive(Deserialize)]
pub(super) struct Page {
    after: Option<String>,
    limit: Option<String>,
}

#[derive(Serialize, ToSchema)]
#[schema(as = Products)]
struct ProductsView<'a> {
    products: Vec<ProductView<'a>>,
    /// Where the next page begins
    #[schema(required)]
    next: Option<i64>,
}

/// What is on sale
#[utoipa::path(get, path = "/api/products", tag = "Products", operation_id = "listProducts", params(openapi::Page),
    responses((status = 200, description = "A page of products", body = ProductsView)))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(page): Query<Page>,
) -> Result<Response, Problem> {
    let (after, limit) = read_page(page.after.as_deref(), page.limit.as_deref())?;
    // One more than asked for tells whether there is a next page.
    let mut found = store::products(&app.connections.pool, ProductId(after), limit + 1).await?;
    let has_next = found.len() as i64 > limit;
    found.truncate(limit as usize);
    let next = found
        .last()
        .filter(|_| has_next)
        .map(|last| last.product.id.0);
    Ok(render::json(
        StatusCode::OK,
        &ProductsView {
            products: found.iter().map(ProductView::from).collect(),
            next,
        },
    ))
}

/// Reads behind which number a page begins, and how long it is.
pub(super) fn read_page(after: Option<&str>, limit: Option<&str>) -> Result<(i64, i64), Problem> {
    let mut errors = Vec::new();
    let mut read =
        |name: &'static str, text: Option<&str>, (least, default, most): (i64, i64, i64)| {
            let number = text
                .map_or(Ok(default), str::parse)
                .ok()
                .filter(|n| (least..=most).contains(n));
            if number.is_none() {
                errors.push(FieldError::new(
                    name,
                    format!("must be a whole number from {least} to {most}"),
                ));
            }
            number.unwrap_or(default)
        };
    let after = read("after", after, (0, 0, i64::MAX));
    let limit = read("limit", limit, (1, PAGE, PAGE_MAX));
    if !errors.is_empty() {
        return Err(Problem::invalid_request(&errors));
    }
    Ok((after, limit))
}

/// One product and its stock
///
/// From memory: it may lag a write by up to a second.
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
    let id = read_id(&id)?;
    match app.products.get(id).await? {
        Some(product) => Ok(product.response(&headers)),
        None => Err(Problem::new(&codes::PRODUCT_NOT_FOUND)),
    }
}

/// Reads a product's number in a path.
pub(super) fn read_id(text: &str) -> Result<ProductId, Problem> {
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text.parse().ok().filter(|number| is_number && *number > 0);
    number
        .map(ProductId)
        .ok_or_else(|| Problem::new(&codes::PRODUCT_NOT_FOUND))
}
