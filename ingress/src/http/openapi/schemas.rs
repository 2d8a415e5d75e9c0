//! Schemas of values: the bounds and words are the constants that readers and documents use.

use holdfast_common::domain::{CancelReason, HoldState, OrderStatus, RefundReason, RefundStatus};
use holdfast_common::money::Currency;
use holdfast_common::store::rows::{
    PAYMENT_STATES, cancel_reason, hold_status, order_status, refund_reason, refund_status,
};
use holdfast_common::time::Timestamp;
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{KnownFormat, RefOr, SchemaFormat};

/// The text form of an id.
pub(super) const ID_PATTERN: &str =
    "[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-8[0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}";

/// A whole number within bounds.
pub(crate) fn integer(least: i64, most: i64) -> ObjectBuilder {
    ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Int64)))
        .minimum(Some(least))
        .maximum(Some(most))
}

/// A text of 1 to `chars_max` characters without control characters.
pub(crate) fn text(chars_max: usize) -> ObjectBuilder {
    let printable = "^[^\\u0000-\\u001F\\u007F-\\u009F]*$";
    string()
        .min_length(Some(1))
        .max_length(Some(chars_max))
        .pattern(Some(printable))
}

/// An RFC 3339 time.
pub(crate) fn time() -> ObjectBuilder {
    string().format(Some(SchemaFormat::KnownFormat(KnownFormat::DateTime)))
}

/// A UUID of version 8.
pub(crate) fn id() -> ObjectBuilder {
    string()
        .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
        .pattern(Some(format!("^{ID_PATTERN}$")))
}

/// An order's id or reference.
pub(crate) fn order_name() -> ObjectBuilder {
    string().pattern(Some(format!("^(order_)?{ID_PATTERN}$")))
}

/// A product's number.
pub(super) fn product_number() -> ObjectBuilder {
    integer(1, i64::MAX)
}

pub(crate) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> ObjectBuilder {
    string().enum_values(Some(words))
}

pub(crate) fn string() -> ObjectBuilder {
    ObjectBuilder::new().schema_type(Type::String)
}

/// The same schema, with null allowed.
pub(crate) fn nullable(schema: impl Into<RefOr<Schema>>) -> RefOr<Schema> {
    let mut schema = schema.into();
    if let RefOr::T(Schema::Object(object)) = &mut schema {
        if let SchemaType::Type(one) = object.schema_type.clone() {
            object.schema_type = SchemaType::from_iter([one, Type::Null]);
        }
        if let Some(words) = &mut object.enum_values {
            words.push(serde_json::Value::Null);
        }
    }
    schema
}

/// The code of a currency that Holdfast knows.
pub(crate) fn currency() -> ObjectBuilder {
    let codes: Vec<String> = Currency::all().map(|known| known.code().into()).collect();
    string().enum_values(Some(codes)).examples(["USD"])
}

/// The same schema with this description.
pub(crate) fn described(schema: impl Into<RefOr<Schema>>, text: &str) -> RefOr<Schema> {
    let mut schema = schema.into();
    let description = match &mut schema {
        RefOr::T(Schema::Object(object)) => &mut object.description,
        RefOr::T(Schema::AllOf(all)) => &mut all.description,
        RefOr::T(Schema::OneOf(one)) => &mut one.description,
        _ => return schema,
    };
    *description = Some(text.to_owned());
    schema
}

/// Defines a schema that documents refer to by its name.
macro_rules! named {
    ($name:ident, $description:literal, $schema:expr) => {
        #[doc = $description]
        #[derive(Debug)]
        pub struct $name;

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::http::openapi::schemas::described($schema, $description)
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
}
const ANY_TIME: Timestamp = Timestamp(0);

fn hold_states() -> [&'static str; 4] {
    let (consumed, released) = (
        HoldState::Consumed { at: ANY_TIME },
        HoldState::Released { at: ANY_TIME },
    );
    [
        &HoldState::Active,
        &consumed,
        &released,
        &HoldState::Expired { at: ANY_TIME },
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
    "A hold is active until it is consumed by an order, released or expired.",
    one_of(hold_states())
);
named!(
    StatusOfOrder,
    "A cancelled order becomes paid only by a late payment that still gets stock. Paid is final.",
    one_of(
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
    one_of([CancelReason::PaymentFailed, CancelReason::PaymentTimeout].map(cancel_reason))
);
named!(
    RefundProgress,
    "The state of a refund.",
    one_of(refund_states())
);
named!(
    RefundCause,
    "The reason of a refund.",
    one_of(refund_reasons())
);
named!(
    StateOfPayment,
    "The state of a payment.",
    one_of(PAYMENT_STATES.iter().copied())
);
named!(
    PaymentResult,
    "The effect of a payment. A `parked` payment waits for its order.",
    one_of(results())
);
