//! Problem documents (RFC 9457): every refusal and failure, as clients see it.
//!
//! The business's refusals and the ingress's own failures are made apart from each other below; `code` is fixed by the
//! contract. Nothing of what went wrong inside is ever in one: no SQL, no secret, no address.

use std::borrow::Cow;

use axum::http::header::{ALLOW, CONNECTION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use holdfast_common::outcome::Refusal;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::commands::not_published::NotPublished;
use crate::http::body::{BODY_BYTES_MAX, FieldError};

/// When to come back after a 503, in seconds.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// The code of a problem that was not the client's, kept with the response for whoever logs and counts it.
#[derive(Clone, Copy, Debug)]
pub struct Code(pub &'static str);

/// A problem document and the headers that go with it.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: String,
    title: Cow<'static, str>,
    #[serde(serialize_with = "as_number")]
    status: StatusCode,
    detail: Cow<'static, str>,
    code: &'static str,
    #[serde(flatten)]
    more: Map<String, Value>,
    #[serde(skip)]
    headers: Vec<(HeaderName, HeaderValue)>,
}

fn as_number<S: serde::Serializer>(status: &StatusCode, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u16(status.as_u16())
}

impl Problem {
    /// A problem with a code of the contract.
    pub fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            kind: format!("urn:holdfast:problem:{code}"),
            title: title(code),
            status,
            detail: detail.into(),
            code,
            more: Map::new(),
            headers: Vec::new(),
        }
    }

    /// This problem with one more member.
    #[must_use]
    pub fn with(mut self, name: &str, value: Value) -> Self {
        self.more.insert(name.to_owned(), value);
        self
    }

    /// This problem with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// 422: the form of a request, with each bad field.
    #[must_use]
    pub fn invalid_request(fields: Vec<FieldError>) -> Self {
        let named: Vec<&str> = fields.iter().map(|error| error.field.as_ref()).collect();
        let detail = format!(
            "The request can't be accepted as it is: see {}.",
            named.join(", ")
        );
        let errors = serde_json::to_value(&fields).unwrap_or_default();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
            .with("errors", errors)
    }

    /// 404 with a code that says what is not there.
    #[must_use]
    pub fn not_found(code: &'static str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            code,
            "There is nothing under this id or path.",
        )
    }

    /// 405, with the methods that there are.
    #[must_use]
    pub fn method_not_allowed(allowed: &str) -> Self {
        let problem = Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("This path answers {allowed}."),
        );
        match HeaderValue::from_str(allowed) {
            Ok(allowed) => problem.with_header(ALLOW, allowed),
            Err(_) => problem,
        }
    }

    /// 400: a body that is not JSON.
    #[must_use]
    pub fn malformed_json() -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed_json",
            "The body is not JSON.",
        )
    }

    /// 415: a body of another type than JSON.
    #[must_use]
    pub fn unsupported_media_type() -> Self {
        let detail = "Send the body as application/json.";
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            detail,
        )
    }

    /// 413: a body that is too long.
    #[must_use]
    pub fn payload_too_large() -> Self {
        let detail = format!("A body may have up to {BODY_BYTES_MAX} bytes.");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "payload_too_large", detail)
    }

    /// 401 for the administration.
    #[must_use]
    pub fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "This needs the administration's bearer token.",
        )
        .with_header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"))
    }

    /// 401: a webhook whose signature is missing, wrong or too old.
    #[must_use]
    pub fn signature_invalid() -> Self {
        let detail = "The signature is missing, wrong or too old.";
        Self::new(StatusCode::UNAUTHORIZED, "signature_invalid", detail)
    }

    /// 400: a webhook without a key to tell duplicates by.
    #[must_use]
    pub fn idempotency_key_missing() -> Self {
        let detail = "A webhook needs an idempotency key of 1 to 255 printable characters.";
        Self::new(StatusCode::BAD_REQUEST, "idempotency_key_missing", detail)
    }

    /// 500: a bug of ours.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Something went wrong on our side.",
        )
    }

    /// 500: a command that no worker could apply.
    #[must_use]
    pub fn command_failed() -> Self {
        let detail =
            "This request could not be applied. It is set aside for an operator to look at.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "command_failed", detail)
    }

    /// 408: the rest of a body did not come in time. Where it would end is not known, so the connection ends.
    #[must_use]
    pub fn request_timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "request_timeout",
            "The body did not arrive in time.",
        )
        .with_header(CONNECTION, HeaderValue::from_static("close"))
    }

    /// 503: Postgres is away.
    #[must_use]
    pub fn store_unavailable() -> Self {
        Self::unavailable("store_unavailable", "This can't be looked up just now.")
    }

    /// 503: a part that is needed is away.
    #[must_use]
    pub fn unavailable(code: &'static str, detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail)
            .with_header(RETRY_AFTER, RETRY_AFTER_SECONDS)
    }
}

fn title(code: &str) -> Cow<'static, str> {
    let mut words = code.replace('_', " ");
    if let Some(first) = words.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    words.into()
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let (not_found, conflict, gone) = (
            StatusCode::NOT_FOUND,
            StatusCode::CONFLICT,
            StatusCode::GONE,
        );
        let code = refusal.code();
        match refusal {
            Refusal::ProductNotFound => Self::new(not_found, code, "There is no such product."),
            Refusal::InsufficientStock { available_stock } => Self::new(
                conflict,
                code,
                format!("{available_stock} units are available."),
            )
            .with("available_stock", available_stock.into()),
            Refusal::SaleNotOpen { starts_at, ends_at } => {
                Self::new(conflict, code, "The sale has not begun yet, or has ended.")
                    .with(
                        "sale_starts_at",
                        json!(starts_at.map(|time| time.to_string())),
                    )
                    .with("sale_ends_at", json!(ends_at.map(|time| time.to_string())))
            }
            Refusal::HoldNotFound => Self::new(not_found, code, "There is no such hold."),
            Refusal::HoldConsumed => Self::new(conflict, code, "The hold has become an order."),
            Refusal::HoldReleased => Self::new(conflict, code, "The hold was given back."),
            Refusal::PurchaseLimitReached {
                max_per_customer,
                units,
            } => {
                let detail = format!(
                    "A customer may have {max_per_customer} units, and this one has {units}."
                );
                Self::new(conflict, code, detail)
                    .with("max_per_customer", max_per_customer.into())
                    .with("customer_units", units.into())
            }
            Refusal::HoldExpired => Self::new(gone, code, "The hold's time has run out."),
            Refusal::IdempotencyKeyReused => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                code,
                "This Idempotency-Key was used before with another request.",
            ),
            Refusal::DeadLetterNotFound => Self::new(
                not_found,
                code,
                "There is no such dead letter, or it is settled.",
            ),
            Refusal::ProductExists => {
                Self::new(conflict, code, "There is a product with this number.")
            }
            Refusal::StockLimitExceeded => {
                Self::new(conflict, code, "A product can't have that many units.")
            }
            Refusal::SaleWindowInvalid => Self::invalid_request(vec![FieldError::new(
                "sale_ends_at",
                "must be after sale_starts_at",
            )]),
        }
    }
}

impl From<NotPublished> for Problem {
    fn from(reason: NotPublished) -> Self {
        match reason {
            NotPublished::Unavailable => Self::unavailable(
                "log_unavailable",
                "The request could not be accepted just now. Repeat it with the same Idempotency-Key.",
            ),
            NotPublished::LogFull => {
                Self::unavailable("log_full", "No more requests can be accepted for now.")
            }
            NotPublished::QueueFull => {
                Self::unavailable("overloaded", "Too many requests are waiting just now.")
            }
        }
    }
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        tracing::warn!(%error, "Postgres failed");
        Self::store_unavailable()
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        let headers = std::mem::take(&mut self.headers);
        // Serialising our own strings and numbers can't fail.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (
            self.status,
            [(CONTENT_TYPE, "application/problem+json")],
            body,
        )
            .into_response();
        response.headers_mut().extend(headers);
        if self.status.is_server_error() {
            response.extensions_mut().insert(Code(self.code));
        }
        response
    }
}
