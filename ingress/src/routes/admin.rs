//! `/api/admin`: what only the holder of the admin token may do. Without a token configured there is nothing here.

pub(super) mod audit;
pub(super) mod dead_letters;
pub(crate) mod event_dead_letters;
pub(crate) mod lists;
pub(crate) mod refunds;
pub(super) mod stock;
pub(super) mod workers;

use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::response::Response;
use holdfast_common::command::{
    Action, Command, NAME_CHARS_MAX, NewProduct, ProductChange, STOCK_MAX,
};
use holdfast_common::id::ProductId;
use holdfast_common::money::PRICE_MINOR_MAX;
use subtle::ConstantTimeEq;

use crate::app::App;
use crate::host_clock::{self, new_request_id};
use crate::http::body::{Fields, integer, parsed, text, time};
use crate::http::openapi;
use crate::http::parameters::Path;
use crate::http::problem::{Problem, codes};
use crate::http::views::ProductView;
use crate::pages::session;
use crate::routes::holds::command;
use crate::routes::products::read_id;
use crate::routes::requests::answer;
use crate::store;

/// Proof that a request has the admin token, or comes from the console of somebody who has shown it. Asked for before
/// the body is read.
pub(super) struct Admin;

impl FromRequestParts<Arc<App>> for Admin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let token = app.settings.admin_token().ok_or(&codes::NOT_FOUND)?;
        if !parts.headers.contains_key(AUTHORIZATION) {
            let is_signed_in =
                session::is_signed_in(token, &parts.headers, host_clock::unix_seconds());
            let is_from_console = session::is_from_console(&parts.method, &parts.headers);
            return if is_signed_in && is_from_console {
                Ok(Self)
            } else {
                Err(Problem::new(&codes::UNAUTHORIZED))
            };
        }
        let header = parts
            .headers
            .get(AUTHORIZATION)
            .map(|value| value.as_bytes())
            .unwrap_or_default();
        // RFC 9110, section 11.1: the scheme's name in any case.
        let sent = header
            .split_at_checked(b"Bearer ".len())
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"Bearer "));
        let is_token = sent.is_some_and(|(_, sent)| sent.ct_eq(token.expose().as_bytes()).into());
        if is_token {
            Ok(Self)
        } else {
            Err(Problem::new(&codes::UNAUTHORIZED))
        }
    }
}

const CUSTOMER_LIMIT_MAX: i64 = STOCK_MAX;

/// Puts a product on sale
#[utoipa::path(post, path = "/api/admin/products", tag = "Administration", operation_id = "createProduct",
    params(openapi::Prefer), request_body = openapi::NewProduct,
    responses((status = 201, description = "The product", body = ProductView), (status = 409, description = "product_exists")))]
pub(super) async fn create_product(
    _admin: Admin,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let name = fields.required("name", text(NAME_CHARS_MAX));
    let price_minor = fields.required("price_minor", integer(0, PRICE_MINOR_MAX));
    let currency = fields.required("currency", |value| parsed(value).map(Some));
    let total_stock = fields.required("total_stock", integer(0, STOCK_MAX));
    let max_per_customer = fields
        .optional("max_per_customer", integer(1, CUSTOMER_LIMIT_MAX))
        .map(|max| max as u32);
    let sale_starts_at = fields.optional("sale_starts_at", time);
    let sale_ends_at = fields.optional("sale_ends_at", time);
    if sale_starts_at
        .zip(sale_ends_at)
        .is_some_and(|(start, end)| end <= start)
    {
        fields.refuse("sale_ends_at", "must be after sale_starts_at");
    }
    fields.finish()?;
    // `finish` refuses a request without a currency.
    let currency = currency.ok_or(&codes::INTERNAL_ERROR)?;
    let product_id = store::next_product_id(&app.connections.pool).await?;
    let action = Action::CreateProduct(NewProduct {
        product_id,
        name,
        price_minor,
        currency,
        total_stock,
        max_per_customer,
        sale_starts_at,
        sale_ends_at,
    });
    let command = Command {
        request_id: new_request_id(product_id.slot()),
        key: None,
        action,
    };
    answer(&app, &headers, &command).await
}

/// Changes a product, but for its stock
#[utoipa::path(patch, path = "/api/admin/products/{id}", tag = "Administration", operation_id = "changeProduct",
    params(openapi::ProductNumber, openapi::Prefer), request_body = openapi::ProductChange,
    responses(
        (status = 200, description = "The product", body = ProductView),
        (status = 404, description = "product_not_found"),
    ))]
pub(super) async fn change_product(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let product_id = read_id(&id)?;
    let change = ProductChange {
        name: fields.optional("name", text(NAME_CHARS_MAX)),
        price_minor: fields.optional("price_minor", integer(0, PRICE_MINOR_MAX)),
        currency: fields.optional("currency", parsed),
        max_per_customer: fields
            .nullable("max_per_customer", integer(1, CUSTOMER_LIMIT_MAX))
            .map(|max| max.map(|max| max as u32)),
        sale_starts_at: fields.nullable("sale_starts_at", time),
        sale_ends_at: fields.nullable("sale_ends_at", time),
    };
    fields.finish()?;
    let action = Action::ChangeProduct { product_id, change };
    answer(
        &app,
        &headers,
        &Command {
            request_id: new_request_id(product_id.slot()),
            key: None,
            action,
        },
    )
    .await
}

/// Adds units, or takes back unsold ones
#[utoipa::path(post, path = "/api/admin/products/{id}/restock", tag = "Administration", operation_id = "restockProduct",
    params(openapi::ProductNumber, openapi::IdempotencyKey, openapi::Prefer), request_body = openapi::Restock,
    responses(
        (status = 200, description = "The product", body = ProductView),
        (status = 404, description = "product_not_found"),
        (status = 409, description = "insufficient_stock, stock_limit_exceeded"),
    ))]
pub(super) async fn restock(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
    mut fields: Fields,
) -> Result<Response, Problem> {
    let product_id: ProductId = read_id(&id)?;
    let quantity = fields.required("quantity", |value| {
        match integer(-STOCK_MAX, STOCK_MAX)(value) {
            Ok(0) => Err("must not be 0".to_owned()),
            read => read,
        }
    });
    fields.finish()?;
    command(
        &app,
        &headers,
        product_id.slot(),
        Action::Restock {
            product_id,
            quantity,
        },
    )
    .await
}
