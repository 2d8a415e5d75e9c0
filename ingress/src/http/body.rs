//! Reading a JSON body, field by field, so that a refusal can name every field that is wrong.
//!
//! A body has `REQUEST_READ_MS` to arrive whole; then 408. In the contract's order: 415 for another content type, 413 for too much, 400 for what is not JSON, 422 for what is
//! not in form.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRef, FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;
use bytes::Bytes;
use chrono::{DateTime, Datelike, Utc};
use holdfast_common::time::Timestamp;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Map, Value};

use crate::http::problem::{FieldError, Problem, codes};

/// The largest body, in bytes.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// How much of a body that is too long is read all the same.
const PASSED_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Up to here an `f64` is every whole number (2^53).
const EXACT_MAX: f64 = 9_007_199_254_740_992.0;

/// The fields of a JSON object, taken out one after the other.
#[derive(Debug)]
pub struct Fields {
    fields: Map<String, Value>,
    errors: Vec<FieldError>,
}

/// The time in which a request's body must arrive.
#[derive(Clone, Copy, Debug)]
pub struct BodyTimeout(pub Duration);

impl<S: Send + Sync> FromRequest<S> for Fields
where
    BodyTimeout: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Self::parse(&json(request, BodyTimeout::from_ref(state)).await?)
    }
}

/// Reads a body of JSON as it is.
///
/// # Errors
/// 415 when it is sent as something else; else as [`raw`].
pub async fn json(request: Request, timeout: BodyTimeout) -> Result<Bytes, Problem> {
    check_content_type(request.headers())?;
    raw(request, timeout).await
}

/// Reads a body as it is, for so long.
///
/// # Errors
/// 413 when it is too long, 400 when it does not arrive whole, 408 when that takes too long.
pub async fn raw(request: Request, timeout: BodyTimeout) -> Result<Bytes, Problem> {
    let mut body = request.into_body();
    let whole = async {
        match Limited::new(&mut body, BODY_BYTES_MAX).collect().await {
            Ok(read) => Ok(read.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                read_past(body).await;
                Err(Problem::new(&codes::PAYLOAD_TOO_LARGE))
            }
            Err(_) => Err(Problem::new(&codes::MALFORMED_JSON)),
        }
    };
    tokio::time::timeout(timeout.0, whole)
        .await
        .unwrap_or_else(|_| Err(Problem::new(&codes::REQUEST_TIMEOUT)))
}

/// Reads what is left of a body that is too long, as far as that is worth it: who is still sending when the connection is
/// closed may never see the answer.
async fn read_past(body: Body) {
    let mut rest = Limited::new(body, PASSED_BYTES_MAX);
    while let Some(Ok(_)) = rest.frame().await {}
}

fn check_content_type(headers: &HeaderMap) -> Result<(), Problem> {
    let media_type = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(Problem::new(&codes::UNSUPPORTED_MEDIA_TYPE))
}

impl Fields {
    /// Reads a JSON object.
    ///
    /// # Errors
    /// 400 when it is not JSON, 422 when it is no object.
    pub fn parse(body: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(body).map_err(|_| &codes::MALFORMED_JSON)? {
            Value::Object(fields) => Ok(Self {
                fields,
                errors: Vec::new(),
            }),
            _ => Err(Problem::invalid_field("body", "must be a JSON object")),
        }
    }

    /// Takes a field that has to be there; a stand-in when it is wrong, since [`Self::finish`] will refuse it.
    pub fn required<T: Default>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> T {
        match self.optional(name, read) {
            Some(value) => value,
            None => {
                if !self.errors.iter().any(|error| error.field == name) {
                    self.errors.push(FieldError::new(name, "is required"));
                }
                T::default()
            }
        }
    }

    /// Takes a field that may be missing or null.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.nullable(name, read).flatten()
    }

    /// Takes a field that may be missing; the inner option is empty when it is null.
    pub fn nullable<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<Option<T>> {
        let value = self.fields.remove(name)?;
        if value.is_null() {
            return Some(None);
        }
        match read(&value) {
            Ok(value) => Some(Some(value)),
            Err(message) => {
                self.errors.push(FieldError::new(name, message));
                None
            }
        }
    }

    /// Notes something wrong that is seen only from several fields.
    pub fn refuse(&mut self, name: &'static str, message: &'static str) {
        self.errors.push(FieldError::new(name, message));
    }

    /// Refuses whatever was wrong, and every field that nobody took.
    ///
    /// # Errors
    /// 422 with each bad field.
    pub fn finish(mut self) -> Result<(), Problem> {
        let unknown = std::mem::take(&mut self.fields).into_iter();
        self.errors
            .extend(unknown.map(|(name, _)| FieldError::new(name, "is not a known field")));
        self.finish_leniently()
    }

    /// Refuses whatever was wrong, and passes over fields that nobody took.
    ///
    /// # Errors
    /// 422 with each bad field.
    pub fn finish_leniently(self) -> Result<(), Problem> {
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid_request(&self.errors))
        }
    }
}

/// Reads a whole number within bounds. JSON has one kind of number: 2.0 is as whole as 2.
pub fn integer(least: i64, most: i64) -> impl FnOnce(&Value) -> Result<i64, String> {
    move |value| {
        let is_exact = |number: &f64| number.fract() == 0.0 && number.abs() <= EXACT_MAX;
        let whole = || value.as_f64().filter(is_exact).map(|number| number as i64);
        let number = value
            .as_i64()
            .or_else(whole)
            .filter(|number| (least..=most).contains(number));
        number.ok_or_else(|| format!("must be a whole number from {least} to {most}"))
    }
}

/// Reads a text of 1 to so many characters, without control characters.
pub fn text(chars_max: usize) -> impl FnOnce(&Value) -> Result<String, String> {
    move |value| {
        let text = value
            .as_str()
            .filter(|text| is_text(text, chars_max))
            .map(str::to_owned);
        text.ok_or_else(|| format!("must be a text of 1 to {chars_max} printable characters"))
    }
}

/// Whether a text has 1 to so many characters, without control characters.
#[must_use]
pub fn is_text(text: &str, chars_max: usize) -> bool {
    // Counting stops early: a long text is refused for its bytes first.
    !text.is_empty()
        && text.len() <= 4 * chars_max
        && text.chars().count() <= chars_max
        && !text.chars().any(char::is_control)
}

/// Reads a text that a type knows how to read.
pub fn parsed<T: FromStr<Err: std::fmt::Display>>(value: &Value) -> Result<T, String> {
    let text = value.as_str().ok_or("must be a text")?;
    text.parse().map_err(|error| format!("{error}"))
}

/// Reads an RFC 3339 time.
///
/// # Errors
/// When it is none.
pub fn time(value: &Value) -> Result<Timestamp, String> {
    let time = value
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let time = time.map(|time| Timestamp::from(time.to_utc()));
    // A leap second or an offset may carry it beyond the years that RFC 3339 can say, and Postgres has no year 0.
    let is_sayable = |time: &Timestamp| (1..=9999).contains(&DateTime::<Utc>::from(*time).year());
    time.filter(is_sayable)
        .ok_or_else(|| "must be an RFC 3339 time of the years 1 to 9999".to_owned())
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;

    fn errors_of(body: &str) -> Vec<String> {
        let mut fields = Fields::parse(body.as_bytes()).unwrap();
        fields.required("quantity", integer(1, 10_000));
        fields.optional("customer_id", text(5));
        let problem = fields.finish().map_or_else(
            |problem| serde_json::to_value(problem).unwrap(),
            |()| Value::Null,
        );
        let errors = problem["errors"].as_array().cloned().unwrap_or_default();
        errors
            .iter()
            .map(|error| error["field"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn every_bad_field_is_named_once() {
        assert_eq!(errors_of(r#"{"quantity": 1}"#), [""; 0]);
        assert_eq!(
            errors_of(r#"{"quantity": 1, "customer_id": null}"#),
            [""; 0]
        );
        assert_eq!(
            errors_of(r#"{"quantity": 0, "customer_id": "", "colour": 1}"#),
            ["quantity", "customer_id", "colour"]
        );
        assert_eq!(errors_of(r#"{"quantity": 2.0}"#), [""; 0]);
        assert_eq!(errors_of(r#"{}"#), ["quantity"]);
        assert_eq!(errors_of(r#"{"quantity": null}"#), ["quantity"]);
        for wrong in [
            "10001",
            "-1",
            "1.5",
            "1e30",
            "99999999999999999999",
            "\"1\"",
            "true",
            "[1]",
            "{}",
        ] {
            assert_eq!(
                errors_of(&format!(r#"{{"quantity": {wrong}}}"#)),
                ["quantity"],
                "{wrong}"
            );
        }
        assert_eq!(
            errors_of(r#"{"quantity": 1, "customer_id": "sixsix"}"#),
            ["customer_id"]
        );
        assert_eq!(
            errors_of(r#"{"quantity": 1, "customer_id": "a\nb"}"#),
            ["customer_id"]
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for malformed in ["", "{", "{'a': 1}", "\u{fffd}"] {
            assert_eq!(
                Fields::parse(malformed.as_bytes()).unwrap_err().status(),
                StatusCode::BAD_REQUEST
            );
        }
        assert_eq!(
            Fields::parse(b"\xff").unwrap_err().status(),
            StatusCode::BAD_REQUEST
        );
        for other in ["[]", "1", "null", "\"text\""] {
            assert_eq!(
                Fields::parse(other.as_bytes()).unwrap_err().status(),
                StatusCode::UNPROCESSABLE_ENTITY
            );
        }
    }
}
