//! Parameters in a path and behind it, as texts that handlers read themselves: whatever is wrong with them is a problem
//! document of the handler's.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use crate::http::problem::Problem;

/// The one parameter in a path. What is no UTF-8 is empty, so it names nothing.
#[derive(Debug)]
pub struct Path(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Path {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let read = axum::extract::Path::from_request_parts(parts, state).await;
        Ok(Self(
            read.map(|axum::extract::Path(text)| text)
                .unwrap_or_default(),
        ))
    }
}

/// The parameters behind a path, each at most once. Those that are not known are passed over.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let axum::extract::Query(read) = axum::extract::Query::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::invalid_field("query", "must name each parameter once"))?;
        Ok(Self(read))
    }
}
