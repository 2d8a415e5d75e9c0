//! What values look like: bounds are the constants that requests are checked against, words are those that documents use.

use holdfast_common::domain::{CancelReason, HoldState, OrderStatus, RefundReason, RefundStatus};
use holdfast_common::money::Currency;
use holdfast_common::store::rows::{
    PAYMENT_STATES, cancel_reason, hold_status, order_status, refund_reason, refund_status,
};
use holdfast_common::time::Timestamp;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};

/// An id or request id, as they are written.
pub(super) const ID_PATTERN: &str =
    "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-8[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}";

/// A whole number within bounds.
pub(super) fn whole(least: i64, most: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
        .maximum(Some(most))
}

/// A text of 1 to so many characters, none of them a control character.
pub(super) fn text(chars_max: usize) -> ObjectBuilder {
    let printable = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$";
    string()
        .min_length(Some(1))
        .max_length(Some(chars_max))
        .pattern(Some(printable))
}

/// An RFC 3339 time.
pub(super) fn time() -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// A UUID of version 8.
pub(super) fn id() -> ObjectBuilder {
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .pattern(Some(format!("^{ID_PATTERN}$")))
}

/// One of some words.
pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    string().enum_values(Some(words))
}

pub(super) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// The same, or null.
pub(super) fn nullable(schema: ObjectBuilder) -> ObjectBuilder {
    let mut object = schema.build();
    if let SchemaType::Type(one) = object.schema_type {
        object.schema_type = SchemaType::from_iter([one, Type::Null]);
    }
    if let Some(words) = &mut object.enum_values {
        words.push(serde_json::Value::Null);
    }
    object.into()
}

/// Every currency that a price may be in.
pub(super) fn currency() -> ObjectBuilder {
    let codes: Vec<String> = Currency::all().map(|known| known.code().into()).collect();
    string().enum_values(Some(codes)).examples(["USD"])
}

/// A schema with a description of its own.
pub(super) fn described(schema: impl Into<RefOr<Schema>>, says: &str) -> RefOr<Schema> {
    let mut schema = schema.into();
    match &mut schema {
        RefOr::T(Schema::Object(object)) => object.description = Some(says.to_owned()),
        RefOr::T(Schema::AllOf(all)) => all.description = Some(says.to_owned()),
        _ => {}
    }
    schema
}

/// Names a schema, so that it is described once.
macro_rules! named {
    ($name:ident, $says:literal, $schema:expr) => {
        #[doc = $says]
        #[derive(Debug)]
        pub struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::http::openapi::schemas::described($schema, $says)
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
pub(super) use named;

const NEVER: Timestamp = Timestamp(0);

fn hold_states() -> [&'static str; 4] {
    let (consumed, released) = (
        HoldState::Consumed { at: NEVER },
        HoldState::Released { at: NEVER },
    );
    [
        &HoldState::Active,
        &consumed,
        &released,
        &HoldState::Expired { at: NEVER },
    ]
    .map(hold_status)
}

fn refund_states() -> [&'static str; 4] {
    use RefundStatus::{Due, None, Refunded, Requested};
    [None, Due, Requested, Refunded].map(refund_status)
}

fn refund_reasons() -> [&'static str; 5] {
    RefundReason::ALL.map(refund_reason)
}

fn results() -> [&'static str; 7] {
    [
        "processed",
        "parked",
        "ignored",
        "reallocated",
        "refund_due",
        "mismatch",
        "duplicate",
    ]
}

named!(CurrencyCode, "An ISO 4217 code.", currency());
named!(
    HoldStatus,
    "Active until it becomes an order, is given back, or its time runs out.",
    words(hold_states())
);
named!(
    StatusOfOrder,
    "A cancelled order becomes paid only by a late payment that still gets stock; paid is final.",
    words(
        [
            OrderStatus::PendingPayment,
            OrderStatus::Paid,
            OrderStatus::Cancelled
        ]
        .map(order_status)
    )
);
named!(
    CancelledFor,
    "Why an order was cancelled.",
    words([CancelReason::PaymentFailed, CancelReason::PaymentTimeout].map(cancel_reason))
);
named!(
    RefundProgress,
    "How far money that goes back has come.",
    words(refund_states())
);
named!(RefundCause, "Why money goes back.", words(refund_reasons()));
named!(
    StateOfPayment,
    "What became of a payment.",
    words(PAYMENT_STATES.iter().copied())
);
named!(
    PaymentResult,
    "What a payment did; `parked` waits for its order.",
    words(results())
);
