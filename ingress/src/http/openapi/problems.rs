//! Problem documents as the description has them: made by the code that makes them for clients, so that codes, statuses and
//! members are those that clients get.

use std::borrow::Cow;

use axum::http::StatusCode;
use holdfast_common::outcome::Refusal;
use holdfast_common::time::Timestamp;
use serde_json::{Value, json};
use utoipa::openapi::content::ContentBuilder;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::schema::{AllOfBuilder, ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::{Ref, RefOr, Response, ResponseBuilder};
use utoipa::{PartialSchema, ToSchema};

use crate::commands::not_published::NotPublished;
use crate::http::body::FieldError;
use crate::http::openapi::schemas::{nullable, string, time, whole};
use crate::http::problem::Problem;
use crate::routes::admin::refunds;

/// A problem that clients may be told.
pub(super) struct Known {
    pub(super) code: &'static str,
    pub(super) status: u16,
    /// Whether it is an outcome: kept and replayed, where the ingress's own refusals are not.
    pub(super) is_outcome: bool,
    example: Value,
}

/// Every one.
pub(super) fn known() -> Vec<Known> {
    let outcomes = refusals()
        .into_iter()
        .map(Problem::from)
        .chain([Problem::command_failed()]);
    let outcomes = outcomes.map(|problem| describe(&problem, true));
    outcomes
        .chain(
            of_the_ingress()
                .iter()
                .map(|problem| describe(problem, false)),
        )
        .collect()
}

fn describe(problem: &Problem, is_outcome: bool) -> Known {
    let example = serde_json::to_value(problem).unwrap_or_default();
    Known {
        code: problem.code(),
        status: problem.status().as_u16(),
        is_outcome,
        example,
    }
}

fn refusals() -> [Refusal; 12] {
    let starts_at = Some(Timestamp(1_795_400_400_000_000));
    [
        Refusal::ProductNotFound,
        Refusal::InsufficientStock { available_stock: 1 },
        Refusal::SaleNotOpen {
            starts_at,
            ends_at: None,
        },
        Refusal::PurchaseLimitReached {
            max_per_customer: 4,
            units: 3,
        },
        Refusal::HoldNotFound,
        Refusal::HoldConsumed,
        Refusal::HoldReleased,
        Refusal::HoldExpired,
        Refusal::IdempotencyKeyReused,
        Refusal::DeadLetterNotFound,
        Refusal::ProductExists,
        Refusal::StockLimitExceeded,
    ]
}

fn of_the_ingress() -> Vec<Problem> {
    vec![
        Problem::invalid_request(vec![FieldError::new(
            "quantity",
            "must be a whole number from 1 to 10000",
        )]),
        Problem::not_found("not_found"),
        Problem::not_found("order_not_found"),
        Problem::not_found("request_not_found"),
        Problem::not_found("payment_not_found"),
        Problem::not_found("event_dead_letter_not_found"),
        refunds::already_refunded(),
        refunds::no_refund_owed(),
        Problem::malformed_json(),
        Problem::unsupported_media_type(),
        Problem::payload_too_large(),
        Problem::request_timeout(),
        Problem::method_not_allowed("GET, HEAD"),
        Problem::unauthorized(),
        Problem::signature_invalid(),
        Problem::idempotency_key_missing(),
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            "Too many requests a second. Try again in 1 s.",
        ),
        NotPublished::QueueFull.into(),
        NotPublished::Unavailable.into(),
        NotPublished::LogFull.into(),
        Problem::store_unavailable(),
        Problem::unavailable("not_ready", "A part that is needed is down.")
            .with("down", json!(["postgres"])),
        Problem::internal(),
    ]
}

/// The response for problems of one status.
pub(super) fn response(problems: &[&Known]) -> Response {
    let codes: Vec<_> = problems.iter().map(|problem| problem.code).collect();
    let statuses = problems.first().map(|problem| problem.status);
    let of_these = ObjectBuilder::new()
        .property(
            "status",
            ObjectBuilder::new()
                .schema_type(Type::Integer)
                .enum_values(Some(statuses)),
        )
        .property("code", string().enum_values(Some(codes.iter().copied())));
    let schema = AllOfBuilder::new()
        .item(Ref::from_schema_name("Problem"))
        .item(of_these);
    let example = |problem: &&Known| {
        (
            problem.code,
            ExampleBuilder::new()
                .value(Some(problem.example.clone()))
                .build(),
        )
    };
    let content = ContentBuilder::new()
        .schema(Some(schema))
        .examples_from_iter(problems.iter().map(example))
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
        let with =
            |code: &str, object: ObjectBuilder| object.description(Some(format!("With `{code}`")));
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
                whole(400, 599).description(Some("The response's status")),
            )
            .property(
                "detail",
                string().description(Some("For people; programs go by `code`")),
            )
            .property(
                "code",
                string().description(Some("What it is, fixed for ever")),
            )
            .property(
                "errors",
                ArrayBuilder::new()
                    .items(field_error)
                    .description(Some("With `invalid_request`")),
            )
            .property(
                "available_stock",
                with("insufficient_stock", whole(0, i64::MAX)),
            )
            .property("sale_starts_at", with("sale_not_open", nullable(time())))
            .property("sale_ends_at", with("sale_not_open", nullable(time())))
            .property(
                "max_per_customer",
                with("purchase_limit_reached", whole(1, i64::MAX)),
            )
            .property(
                "customer_units",
                with("purchase_limit_reached", whole(0, i64::MAX)),
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
