//! Descriptions and examples of problem documents. The examples are written by [`Problem`], like the documents for clients.

use std::borrow::Cow;

use holdfast_common::outcome::Refusal;
use holdfast_common::time::Timestamp;
use serde_json::json;
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::{Example, ExampleBuilder};
use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::http::openapi::schemas::{described, integer, nullable, string, time};
use crate::http::problem::Problem;
use crate::http::problem::codes::{self, ProblemCode};

/// Problems whose documents have members of their own. Other examples have what the table of codes has.
fn samples() -> Vec<Problem> {
    let starts_at = Some(Timestamp(1_795_400_400_000_000));
    vec![
        Refusal::InsufficientStock { available_stock: 1 }.into(),
        Refusal::SaleNotOpen {
            starts_at,
            ends_at: None,
        }
        .into(),
        Refusal::PurchaseLimitReached {
            max_per_customer: 4,
            units: 3,
        }
        .into(),
        Problem::invalid_field("quantity", "must be a whole number from 1 to 10000"),
        Problem::method_not_allowed("GET, HEAD"),
        Problem::new(&codes::NOT_READY).with("down", json!(["postgres"])),
    ]
}

fn example(code: &'static ProblemCode) -> Example {
    let sample = samples()
        .into_iter()
        .find(|sample| sample.code().name == code.name)
        .unwrap_or_else(|| Problem::new(code));
    ExampleBuilder::new()
        .value(serde_json::to_value(sample).ok())
        .build()
}

/// The response for problem codes of one status.
pub(super) fn response(problems: &[&'static ProblemCode]) -> Response {
    let codes: Vec<_> = problems.iter().map(|code| code.name).collect();
    let statuses = problems.first().map(|code| code.status.as_u16());
    let status_and_code = ObjectBuilder::new()
        .property(
            "status",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .enum_values(Some(statuses)),
        )
        .property("code", string().enum_values(Some(codes.iter().copied())));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(status_and_code);
    let content = ContentBuilder::new()
        .schema(Some(schema))
        .examples_from_iter(problems.iter().map(|code| (code.name, example(code))))
        .build();
    let listed: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
    ResponseBuilder::new()
        .description(listed.join(", "))
        .content("application/problem+json", content)
        .build()
}

/// A problem document (RFC 9457).
#[derive(Debug)]
pub struct ProblemDocument;

impl PartialSchema for ProblemDocument {
    fn schema() -> RefOr<Schema> {
        let field_error = ObjectBuilder::new()
            .schema_type(Type::Object)
            .required("field")
            .required("message")
            .property("field", string())
            .property("message", string());
        let with = |code: &str, schema: RefOr<Schema>| described(schema, &format!("With `{code}`"));
        ["type", "title", "status", "detail", "code"]
            .into_iter()
            .fold(
                ObjectBuilder::new().schema_type(Type::Object),
                |object, name| object.required(name),
            )
            .description(Some("A problem document (RFC 9457)."))
            .property(
                "type",
                string().description(Some("`urn:holdfast:problem:` and the code")),
            )
            .property("title", string())
            .property(
                "status",
                integer(400, 599).description(Some("The status of the response")),
            )
            .property(
                "detail",
                string().description(Some(
                    "The cause and what to do, for people. Programs decide by `code`.",
                )),
            )
            .property(
                "code",
                string().description(Some("The kind of problem. Codes never change.")),
            )
            .property(
                "errors",
                ArrayBuilder::new()
                    .items(field_error)
                    .description(Some("With `invalid_request`")),
            )
            .property(
                "available_stock",
                with("insufficient_stock", integer(0, i64::MAX).into()),
            )
            .property("sale_starts_at", with("sale_not_open", nullable(time())))
            .property("sale_ends_at", with("sale_not_open", nullable(time())))
            .property(
                "max_per_customer",
                with("purchase_limit_reached", integer(1, i64::MAX).into()),
            )
            .property(
                "customer_units",
                with("purchase_limit_reached", integer(0, i64::MAX).into()),
            )
            .property(
                "down",
                ArrayBuilder::new()
                    .items(string())
                    .description(Some("With `not_ready`")),
            )
            .into()
    }
}

impl ToSchema for ProblemDocument {
    fn name() -> Cow<'static, str> {
        "Problem".into()
    }
}
