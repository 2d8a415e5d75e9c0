//! `/api/admin/products`: creates, changes and restocks products.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use holdfast_common::command::{Action, NAME_CHARS_MAX, NewProduct, ProductChange, STOCK_MAX};
use holdfast_common::id::ProductId;
use holdfast_common::money::{Currency, PRICE_MINOR_MAX};
use holdfast_common::time::Timestamp;
use serde_json::{Value, json};
use utoipa::openapi::schema::OneOfBuilder;

use crate::app::App;
use crate::http::admin::Admin;
use crate::http::body::fields::{Body, Fields, RequestBody, impl_body_schema};
use crate::http::body::value_types::{
    CurrencyCode, Custom, Described, Integer, Time, ValueType, integer, text,
};
use crate::http::command_response::{submit_keyed, submit_unkeyed};
use crate::http::openapi::{self, schemas};
use crate::http::parameters::{self, Path};
use crate::http::problem::Problem;
use crate::http::views::ProductView;
use crate::store;

const CURRENCY: CurrencyCode = CurrencyCode { any_case: false };

fn price() -> Described<Integer> {
    integer(0, PRICE_MINOR_MAX).about("In minor units of the currency")
}

fn max_per_customer() -> Described<Integer> {
    integer(1, STOCK_MAX).about("The most units that one customer may have")
}

fn sale_starts_at() -> Described<Time> {
    Time.about("The first instant at which holds are created")
}

fn sale_ends_at() -> Described<Time> {
    Time.about("The first instant at which no hold is created; after `sale_starts_at`")
}

/// A new product without its number.
pub(in crate::routes) struct NewProductBody {
    name: String,
    price_minor: i64,
    currency: Currency,
    total_stock: i64,
    max_per_customer: Option<u32>,
    sale_starts_at: Option<Timestamp>,
    sale_ends_at: Option<Timestamp>,
}

impl_body_schema!(NewProductBody as "NewProduct");

impl RequestBody for NewProductBody {
    const DESCRIPTION: &'static str = "A product to create.";

    fn example() -> Value {
        json!({"name": "Trainers", "price_minor": 9999, "currency": "USD", "total_stock": 100})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let name = fields.required("name", text(NAME_CHARS_MAX));
        let price_minor = fields.required("price_minor", price());
        let currency = fields.required("currency", CURRENCY);
        let total_stock = fields.required("total_stock", integer(0, STOCK_MAX));
        let max_per_customer = fields.optional("max_per_customer", max_per_customer());
        let sale_starts_at = fields.optional("sale_starts_at", sale_starts_at());
        let sale_ends_at = fields.optional("sale_ends_at", sale_ends_at());
        if sale_starts_at
            .zip(sale_ends_at)
            .is_some_and(|(start, end)| end <= start)
        {
            fields.reject("sale_ends_at", "must be after sale_starts_at");
        }
        Some(Self {
            name: name?,
            price_minor: price_minor?,
            currency: currency?,
            total_stock: total_stock?,
            max_per_customer: max_per_customer.map(|max| max as u32),
            sale_starts_at,
            sale_ends_at,
        })
    }
}

/// Create a product
#[utoipa::path(post, path = "/api/admin/products", tag = "Administration", operation_id = "createProduct",
    params(openapi::Prefer), request_body = NewProductBody,
    responses((status = 201, description = "The product", body = ProductView), (status = 409, description = "product_exists")))]
pub(in crate::routes) async fn create(
    _admin: Admin,
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Body(new): Body<NewProductBody>,
) -> Result<Response, Problem> {
    let product_id = store::next_product_id(&app.connections.pool).await?;
    let action = Action::CreateProduct(NewProduct {
        product_id,
        name: new.name,
        price_minor: new.price_minor,
        currency: new.currency,
        total_stock: new.total_stock,
        max_per_customer: new.max_per_customer,
        sale_starts_at: new.sale_starts_at,
        sale_ends_at: new.sale_ends_at,
    });
    submit_unkeyed(&app.submitter, &headers, product_id.slot(), action).await
}

pub(in crate::routes) struct ProductChangeBody(ProductChange);

impl_body_schema!(ProductChangeBody as "ProductChange");

impl RequestBody for ProductChangeBody {
    const DESCRIPTION: &'static str =
        "The fields to change. `null` removes the limit per customer, or an end of the sale.";

    fn example() -> Value {
        json!({"price_minor": 8999, "sale_ends_at": null})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        Some(Self(ProductChange {
            name: fields.optional("name", text(NAME_CHARS_MAX)),
            price_minor: fields.optional("price_minor", price()),
            currency: fields.optional("currency", CURRENCY),
            max_per_customer: fields
                .nullable("max_per_customer", max_per_customer())
                .map(|max| max.map(|max| max as u32)),
            sale_starts_at: fields.nullable("sale_starts_at", sale_starts_at()),
            sale_ends_at: fields.nullable("sale_ends_at", sale_ends_at()),
        }))
    }
}

/// Change a product, except its stock
#[utoipa::path(patch, path = "/api/admin/products/{id}", tag = "Administration", operation_id = "changeProduct",
    params(openapi::ProductNumber, openapi::Prefer), request_body = ProductChangeBody,
    responses(
        (status = 200, description = "The product", body = ProductView),
        (status = 404, description = "product_not_found"),
    ))]
pub(in crate::routes) async fn change(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
    Body(ProductChangeBody(change)): Body<ProductChangeBody>,
) -> Result<Response, Problem> {
    let product_id = parameters::product_id(&id)?;
    let action = Action::ChangeProduct { product_id, change };
    submit_unkeyed(&app.submitter, &headers, product_id.slot(), action).await
}

pub(in crate::routes) struct Restock {
    quantity: i64,
}

impl_body_schema!(Restock as "Restock");

impl RequestBody for Restock {
    const DESCRIPTION: &'static str = "Units to add. A negative number takes back unsold units.";

    fn example() -> Value {
        json!({"quantity": 50})
    }

    fn read(fields: &mut Fields) -> Option<Self> {
        let any_but_zero = Custom {
            read: |value| match integer(-STOCK_MAX, STOCK_MAX).read(value) {
                Ok(0) => Err("must not be 0".to_owned()),
                quantity => quantity,
            },
            schema: || {
                OneOfBuilder::new()
                    .item(schemas::integer(1, STOCK_MAX))
                    .item(schemas::integer(-STOCK_MAX, -1))
                    .into()
            },
        };
        let quantity = fields.required("quantity", any_but_zero.about("Any number except 0"));
        Some(Self {
            quantity: quantity?,
        })
    }
}

/// Add units, or take back unsold units
#[utoipa::path(post, path = "/api/admin/products/{id}/restock", tag = "Administration", operation_id = "restockProduct",
    params(openapi::ProductNumber, openapi::IdempotencyKey, openapi::Prefer), request_body = Restock,
    responses(
        (status = 200, description = "The product", body = ProductView),
        (status = 404, description = "product_not_found"),
        (status = 409, description = "insufficient_stock, stock_limit_exceeded"),
    ))]
pub(in crate::routes) async fn restock(
    _admin: Admin,
    State(app): State<Arc<App>>,
    Path(id): Path,
    headers: HeaderMap,
    Body(Restock { quantity }): Body<Restock>,
) -> Result<Response, Problem> {
    let product_id: ProductId = parameters::product_id(&id)?;
    let action = Action::Restock {
        product_id,
        quantity,
    };
    submit_keyed(&app.submitter, &headers, product_id.slot(), action).await
}
