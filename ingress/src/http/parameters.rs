//! Parameters of paths and queries. They are extracted as strings, so that an invalid one gets a problem document.

pub mod page;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use holdfast_common::id::ProductId;
use serde::de::DeserializeOwned;

use crate::http::problem::{Problem, codes};

/// The longest id of an event, in characters: three numbers.
pub const EVENT_ID_CHARS_MAX: usize = 64;

/// The one parameter of a path. It is empty when it is not UTF-8, and an empty id matches nothing.
#[derive(Debug)]
pub struct Path(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = axum::extract::Path::from_request_parts(parts, state).await;
        Ok(Self(
            path.map(|axum::extract::Path(text)| text)
                .unwrap_or_default(),
        ))
    }
}

/// The parameters of a query, each at most once. Unknown parameters are ignored.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        axum::extract::Query::from_request_parts(parts, state)
            .await
            .map(|axum::extract::Query(query)| Self(query))
            .map_err(|_| Problem::invalid_field("query", "must have each parameter only once"))
    }
}

/// Parses a product's number from a path.
///
/// # Errors
/// 404 when it is not a number of a product.
pub fn product_id(text: &str) -> Result<ProductId, Problem> {
    // `parse` would accept a leading `+`.
    let has_only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    let number = text
        .parse()
        .ok()
        .filter(|number| has_only_digits && *number > 0);
    Ok(number.map(ProductId).ok_or(&codes::PRODUCT_NOT_FOUND)?)
}
