//! The fields of a JSON body: one definition reads them, checks their bounds and describes them.
//!
//! [`RequestBody::read`] names each field once, with a type of [`crate::http::body::value_types`]. Handlers get the body by the
//! extractor [`Body`]. The OpenAPI schema comes from running the same `read` on [`Fields`] that record instead of read.

use axum::extract::{FromRef, FromRequest, Request};
use serde_json::{Map, Value};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{AdditionalProperties, ObjectBuilder, Schema, Type};

use crate::http::body::value_types::ValueType;
use crate::http::body::{self, BodyTimeout};
use crate::http::openapi::schemas::{described, nullable};
use crate::http::problem::{FieldError, Problem, codes};

/// The body of a request.
pub trait RequestBody: Sized {
    /// The description of its schema.
    const DESCRIPTION: &'static str;
    /// True only for the payment webhook, because providers add fields.
    const IGNORES_UNKNOWN_FIELDS: bool = false;

    /// A valid body.
    fn example() -> Value;

    /// Reads every field, also after an invalid one. Returns `None` only when `fields` has an error.
    fn read(fields: &mut Fields) -> Option<Self>;

    /// Adds to the schema what the fields alone do not state.
    fn extend_schema(object: ObjectBuilder) -> RefOr<Schema> {
        object.into()
    }

    /// # Errors
    /// 400 when `json` is not JSON, 422 with each invalid field.
    fn parse(json: &[u8]) -> Result<Self, Problem> {
        Self::parse_by_field(json)
    }

    /// Parses by [`Self::read`]. A body with a faster `parse` falls back to this for its errors.
    ///
    /// # Errors
    /// The errors of [`Self::parse`].
    fn parse_by_field(json: &[u8]) -> Result<Self, Problem> {
        let mut fields = Fields::parse(json)?;
        let body = Self::read(&mut fields);
        fields.finish(Self::IGNORES_UNKNOWN_FIELDS)?;
        Ok(body.ok_or(&codes::INTERNAL_ERROR)?)
    }

    fn schema() -> RefOr<Schema> {
        let mut fields = Fields::new(Map::new());
        fields.schema = Some(ObjectBuilder::new().schema_type(Type::Object));
        Self::read(&mut fields);
        let object = fields.schema.unwrap_or_default();
        let unknown = AdditionalProperties::FreeForm(false);
        let object = object
            .additional_properties((!Self::IGNORES_UNKNOWN_FIELDS).then_some(unknown))
            .examples([Self::example()]);
        described(Self::extend_schema(object), Self::DESCRIPTION)
    }
}

/// Lets `#[utoipa::path]` name a [`RequestBody`] as its `request_body`.
macro_rules! impl_body_schema {
    ($body:ident as $name:literal) => {
        impl utoipa::PartialSchema for $body {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                <Self as $crate::http::body::fields::RequestBody>::schema()
            }
        }

        impl utoipa::ToSchema for $body {
            fn name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }
        }
    };
}
pub(crate) use impl_body_schema;

/// Extracts a [`RequestBody`] that is sent as `application/json`.
#[derive(Debug)]
pub struct Body<B>(pub B);

impl<B: RequestBody, S: Send + Sync> FromRequest<S> for Body<B>
where
    BodyTimeout: FromRef<S>,
{
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let json = body::json(request, BodyTimeout::from_ref(state)).await?;
        B::parse(&json).map(Self)
    }
}

/// The fields of a JSON object that are not read yet, with the errors of those that are.
#[derive(Default)]
pub struct Fields {
    values: Map<String, Value>,
    errors: Vec<FieldError>,
    /// Records the fields, while a schema is made.
    schema: Option<ObjectBuilder>,
}

impl Fields {
    fn new(values: Map<String, Value>) -> Self {
        Self {
            values,
            ..Self::default()
        }
    }

    /// # Errors
    /// 400 when it is not JSON, 422 when it is not an object.
    pub fn parse(json: &[u8]) -> Result<Self, Problem> {
        match serde_json::from_slice(json).map_err(|_| &codes::MALFORMED_JSON)? {
            Value::Object(values) => Ok(Self::new(values)),
            _ => Err(Problem::invalid_field("body", "must be a JSON object")),
        }
    }

    /// Reads a field that must be there and not null.
    pub fn required<V: ValueType>(
        &mut self,
        name: &'static str,
        value_type: V,
    ) -> Option<V::Value> {
        if let Some(object) = self.schema.take() {
            let object = object.property(name, value_type.schema());
            self.schema = Some(object.required(name));
            return None;
        }
        let errors = self.errors.len();
        let value = self.read(name, value_type).flatten();
        if value.is_none() && self.errors.len() == errors {
            self.errors.push(FieldError::new(name, "is required"));
        }
        value
    }

    /// Reads a field that may be missing or null.
    pub fn optional<V: ValueType>(
        &mut self,
        name: &'static str,
        value_type: V,
    ) -> Option<V::Value> {
        self.nullable(name, value_type).flatten()
    }

    /// Reads a field that may be missing. `Some(None)` is null.
    pub fn nullable<V: ValueType>(
        &mut self,
        name: &'static str,
        value_type: V,
    ) -> Option<Option<V::Value>> {
        if let Some(object) = self.schema.take() {
            self.schema = Some(object.property(name, nullable(value_type.schema())));
            return None;
        }
        self.read(name, value_type)
    }

    fn read<V: ValueType>(
        &mut self,
        name: &'static str,
        value_type: V,
    ) -> Option<Option<V::Value>> {
        let value = self.values.remove(name)?;
        if value.is_null() {
            return Some(None);
        }
        match value_type.read(&value) {
            Ok(value) => Some(Some(value)),
            Err(message) => {
                self.errors.push(FieldError::new(name, message));
                None
            }
        }
    }

    /// Adds an error that several fields together cause.
    pub fn reject(&mut self, name: &'static str, message: &'static str) {
        self.errors.push(FieldError::new(name, message));
    }

    /// Checks that every field was valid, and that none is left unless unknown fields are ignored.
    ///
    /// # Errors
    /// 422 with each invalid field.
    pub fn finish(mut self, ignores_unknown_fields: bool) -> Result<(), Problem> {
        if !ignores_unknown_fields {
            let unknown = std::mem::take(&mut self.values).into_iter();
            self.errors
                .extend(unknown.map(|(name, _)| FieldError::new(name, "is not a known field")));
        }
        if self.errors.is_empty() {
            Ok(())
        } else {
            Err(Problem::invalid_request(&self.errors))
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::http::StatusCode;

    use super::*;
    use crate::http::body::value_types::{integer, text};

    fn invalid_fields(body: &str) -> Vec<String> {
        let mut fields = Fields::parse(body.as_bytes()).unwrap();
        fields.required("quantity", integer(1, 10_000));
        fields.optional("customer_id", text(5));
        let problem = fields.finish(false).map_or_else(
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
    fn invalid_fields_are_listed_once_each() {
        for (body, invalid) in [
            (r#"{"quantity": 1}"#, &[][..]),
            (r#"{"quantity": 1, "customer_id": null}"#, &[]),
            (r#"{"quantity": 2.0}"#, &[]),
            (
                r#"{"quantity": 0, "customer_id": "", "colour": 1}"#,
                &["quantity", "customer_id", "colour"],
            ),
            ("{}", &["quantity"]),
            (r#"{"quantity": null}"#, &["quantity"]),
            (
                r#"{"quantity": 1, "customer_id": "sixsix"}"#,
                &["customer_id"],
            ),
            (
                r#"{"quantity": 1, "customer_id": "a\nb"}"#,
                &["customer_id"],
            ),
        ] {
            assert_eq!(invalid_fields(body), invalid, "{body}");
        }
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
            let body = format!(r#"{{"quantity": {wrong}}}"#);
            assert_eq!(invalid_fields(&body), ["quantity"], "{wrong}");
        }
    }

    #[test]
    fn bodies_other_than_json_objects_are_rejected() {
        let status = |json: &[u8]| Fields::parse(json).map(drop).unwrap_err().status();
        for malformed in [&b""[..], b"{", b"{'a': 1}", "\u{fffd}".as_bytes(), b"\xff"] {
            assert_eq!(status(malformed), StatusCode::BAD_REQUEST);
        }
        for other in ["[]", "1", "null", "\"text\""] {
            assert_eq!(status(other.as_bytes()), StatusCode::UNPROCESSABLE_ENTITY);
        }
    }
}
