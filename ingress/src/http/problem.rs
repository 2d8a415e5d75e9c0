//! Problem documents (RFC 9457): every refusal and failure, as clients see it.
//!
//! [`codes`] is the table of codes. A document never contains SQL, a secret, an address or a payment's details.

pub mod codes;

use std::borrow::Cow;

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use holdfast_common::outcome::Refusal;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use self::codes::ProblemCode;
use crate::commands::not_published::NotPublished;

/// `Retry-After` of a 503, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The code of a 5xx response. The response carries it to the request log and the metrics.
#[derive(Clone, Copy, Debug)]
pub struct FailureCode(pub &'static str);

/// A field of a request that is not valid.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct FieldError {
    pub field: Cow<'static, str>,
    /// The rest of a sentence that begins with the field's name: "must be ...".
    pub message: Cow<'static, str>,
}

impl FieldError {
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// A problem document with its headers.
#[derive(Debug)]
pub struct Problem {
    code: &'static ProblemCode,
    detail: Cow<'static, str>,
    members: Map<String, Value>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// The problem as the table describes it, with the headers that its status needs.
    #[must_use]
    pub fn new(code: &'static ProblemCode) -> Self {
        let problem = Self {
            code,
            detail: code.detail.into(),
            members: Map::new(),
            headers: Vec::new(),
        };
        match code.status {
            StatusCode::SERVICE_UNAVAILABLE => {
                problem.with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
            }
            // The rest of the body may still arrive, so the connection can't carry another request.
            StatusCode::REQUEST_TIMEOUT => {
                problem.with_header(CONNECTION, HeaderValue::from_static("close"))
            }
            StatusCode::UNAUTHORIZED if code.name == codes::UNAUTHORIZED.name => {
                problem.with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
            }
            _ => problem,
        }
    }

    /// Replaces the table's detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.detail = detail.into();
        self
    }

    /// Adds a member to the document.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.members.insert(name.to_owned(), value);
        self
    }

    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    #[must_use]
    pub fn code(&self) -> &'static ProblemCode {
        self.code
    }

    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.code.status
    }

    /// 422 with each invalid field.
    #[must_use]
    pub fn invalid_request(fields: &[FieldError]) -> Self {
        let names: Vec<&str> = fields.iter().map(|error| error.field.as_ref()).collect();
        let names = names.join(", ");
        Self::new(&codes::INVALID_REQUEST)
            .with_detail(format!(
                "Invalid: {names}. Correct it as `errors` describes, and send the request again."
            ))
            .with("errors", json!(fields))
    }

    /// 422 with one invalid field.
    #[must_use]
    pub fn invalid_field(
        field: impl Into<Cow<'static, str>>,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self::invalid_request(&[FieldError::new(field, message)])
    }

    /// 405 with the methods that the path supports.
    #[must_use]
    pub fn method_not_allowed(allowed: &str) -> Self {
        let problem = Self::new(&codes::METHOD_NOT_ALLOWED)
            .with_detail(format!("This path supports {allowed}. Use one of these."));
        match HeaderValue::from_str(allowed) {
            Ok(allowed) => problem.with_header(ALLOW, allowed),
            Err(_) => problem,
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_map(None)?;
        let name = self.code.name;
        document.serialize_entry("type", &format_args!("urn:holdfast:problem:{name}"))?;
        document.serialize_entry("title", self.code.title)?;
        document.serialize_entry("status", &self.code.status.as_u16())?;
        document.serialize_entry("detail", &self.detail)?;
        document.serialize_entry("code", name)?;
        for (name, value) in &self.members {
            document.serialize_entry(name, value)?;
        }
        document.end()
    }
}

impl From<&'static ProblemCode> for Problem {
    fn from(code: &'static ProblemCode) -> Self {
        Self::new(code)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::ProductNotFound => Self::new(&codes::PRODUCT_NOT_FOUND),
            Refusal::InsufficientStock { available_stock } => Self::new(&codes::INSUFFICIENT_STOCK)
                .with_detail(format!(
                    "{available_stock} units are available. Request fewer, or try again when held units return."
                ))
                .with("available_stock", available_stock.into()),
            Refusal::SaleNotOpen { starts_at, ends_at } => {
                let [starts_at, ends_at] =
                    [starts_at, ends_at].map(|time| time.map(|time| time.to_string()));
                Self::new(&codes::SALE_NOT_OPEN)
                    .with("sale_starts_at", json!(starts_at))
                    .with("sale_ends_at", json!(ends_at))
            }
            Refusal::PurchaseLimitReached {
                max_per_customer,
                units,
            } => Self::new(&codes::PURCHASE_LIMIT_REACHED)
                .with_detail(format!(
                    "A customer may have {max_per_customer} units, and this customer has {units}. Request fewer units."
                ))
                .with("max_per_customer", max_per_customer.into())
                .with("customer_units", units.into()),
            Refusal::HoldNotFound => Self::new(&codes::HOLD_NOT_FOUND),
            Refusal::HoldConsumed => Self::new(&codes::HOLD_CONSUMED),
            Refusal::HoldReleased => Self::new(&codes::HOLD_RELEASED),
            Refusal::HoldExpired => Self::new(&codes::HOLD_EXPIRED),
            Refusal::IdempotencyKeyReused => Self::new(&codes::IDEMPOTENCY_KEY_REUSED),
            Refusal::DeadLetterNotFound => Self::new(&codes::DEAD_LETTER_NOT_FOUND),
            Refusal::ProductExists => Self::new(&codes::PRODUCT_EXISTS),
            Refusal::StockLimitExceeded => Self::new(&codes::STOCK_LIMIT_EXCEEDED),
            Refusal::SaleWindowInvalid => {
                Self::invalid_field("sale_ends_at", "must be after sale_starts_at")
            }
        }
    }
}

impl From<NotPublished> for Problem {
    fn from(reason: NotPublished) -> Self {
        Self::new(match reason {
            NotPublished::Unavailable => &codes::LOG_UNAVAILABLE,
            NotPublished::LogFull => &codes::LOG_FULL,
            NotPublished::QueueFull => &codes::OVERLOADED,
        })
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::warn!(%error, "a read from Postgres failed; the client gets 503");
        Self::new(&codes::STORE_UNAVAILABLE)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // Serialising strings and numbers can't fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let content_type = [(CONTENT_TYPE, "application/problem+json")];
        let mut response = (self.code.status, content_type, body).into_response();
        response.headers_mut().extend(self.headers);
        if self.code.status.is_server_error() {
            let code = FailureCode(self.code.name);
            response.extensions_mut().insert(code);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique() {
        let mut names: Vec<_> = codes::ALL.iter().map(|code| code.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), codes::ALL.len());
    }

    #[test]
    fn payload_too_large_states_the_limit() {
        let bytes = crate::http::body::BODY_BYTES_MAX.to_string();
        assert!(codes::PAYLOAD_TOO_LARGE.detail.contains(&bytes));
    }
}
