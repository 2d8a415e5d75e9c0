//! What requests carry: the fields that the handlers take, with the bounds they check.

use holdfast_common::command::{CUSTOMER_CHARS_MAX, NAME_CHARS_MAX, QUANTITY_MAX, STOCK_MAX};
use holdfast_common::money::PRICE_MINOR_MAX;
use serde_json::{Value, json};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{
    AdditionalProperties, AllOfBuilder, AnyOfBuilder, ObjectBuilder, OneOfBuilder, Schema, Type,
};

use crate::http::openapi::schemas::{
    ID_PATTERN, currency, id, named, nullable, string, text, time, whole, words,
};
use crate::routes::payments::{PAYMENT_ID_CHARS_MAX, REFERENCES};

fn object(required: &[&str], example: Value) -> ObjectBuilder {
    let object = ObjectBuilder::new()
        .schema_type(Type::Object)
        .examples([example]);
    required
        .iter()
        .fold(object, |object, name| object.required(*name))
}

/// Refuses fields that it does not name, as [`super::super::body::Fields::finish`] does.
fn closed(object: ObjectBuilder) -> RefOr<Schema> {
    object
        .additional_properties(Some(AdditionalProperties::FreeForm(false)))
        .into()
}

named!(
    NewHold,
    "What a hold is asked for with.",
    closed(
        object(
            &["product_id", "quantity"],
            json!({"product_id": 1, "quantity": 2, "customer_id": "c-1"})
        )
        .property("product_id", whole(1, i64::MAX))
        .property(
            "quantity",
            whole(1, QUANTITY_MAX.into()).description(Some("How many units"))
        )
        .property(
            "customer_id",
            nullable(text(CUSTOMER_CHARS_MAX)).description(Some(
                "Whose hold it is; purchase limits and rates count by it"
            ))
        )
    )
);

named!(
    NewOrder,
    "What an order is made of.",
    closed(
        object(
            &["hold_id"],
            json!({"hold_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9"})
        )
        .property("hold_id", id().description(Some("An active hold")))
    )
);

named!(
    RefundOf,
    "The payment whose refund is meant.",
    closed(
        object(
            &["order_id", "payment_id"],
            json!({"order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "payment_id": "pay_1"})
        )
        .property(
            "order_id",
            string()
                .pattern(Some(format!("^(order_)?{ID_PATTERN}$")))
                .description(Some("The order's id or reference")),
        )
        .property(
            "payment_id",
            text(PAYMENT_ID_CHARS_MAX).description(Some("The payment, as its provider names it"))
        )
    )
);

named!(
    NewProduct,
    "A product to put on sale.",
    closed(
        product_fields(object(
            &["name", "price_minor", "currency", "total_stock"],
            json!({"name": "Trainers", "price_minor": 9999, "currency": "USD", "total_stock": 100})
        ))
        .property("total_stock", whole(0, STOCK_MAX))
        .property("currency", currency())
        .property("name", text(NAME_CHARS_MAX))
        .property("price_minor", price())
    )
);

named!(
    ProductChange,
    "What is to be other than it is; `null` takes a limit away.",
    closed(
        product_fields(object(
            &[],
            json!({"price_minor": 8999, "sale_ends_at": null})
        ))
        .property("name", nullable(text(NAME_CHARS_MAX)))
        .property("price_minor", nullable(price()))
        .property("currency", nullable(currency()))
    )
);

fn price() -> ObjectBuilder {
    whole(0, PRICE_MINOR_MAX).description(Some("In minor units of the currency"))
}

fn product_fields(object: ObjectBuilder) -> ObjectBuilder {
    object
        .property(
            "max_per_customer",
            nullable(whole(1, STOCK_MAX)).description(Some("Units that one customer may have")),
        )
        .property(
            "sale_starts_at",
            nullable(time()).description(Some("No hold before it")),
        )
        .property(
            "sale_ends_at",
            nullable(time()).description(Some("No hold from it on; after `sale_starts_at`")),
        )
}

named!(
    Restock,
    "Units to add, or with a negative number to take back.",
    closed(
        object(&["quantity"], json!({"quantity": 50})).property(
            "quantity",
            OneOfBuilder::new()
                .item(whole(1, STOCK_MAX))
                .item(whole(-STOCK_MAX, -1))
                .description(Some("Any but 0"))
        )
    )
);

named!(
    PaymentNotice,
    "A payment, as its provider tells of it. One of three fields names its order; others may be there.",
    AllOfBuilder::new()
        .item(
            REFERENCES
                .into_iter()
                .fold(AnyOfBuilder::new(), |any, name| any
                    .item(ObjectBuilder::new().required(name)))
        )
        .item(
            REFERENCES
                .into_iter()
                .fold(payment_fields(), |object, name| object
                    .property(name, nullable(reference())))
        )
);

fn payment_fields() -> ObjectBuilder {
    let example = json!({"order_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9", "payment_id": "pay_1",
        "status": "succeeded", "timestamp": "2026-11-23T02:20:30Z", "amount_minor": 19998, "currency": "USD"});
    object(&["payment_id", "status"], example)
        .property("payment_id", text(PAYMENT_ID_CHARS_MAX))
        .property(
            "status",
            words(["succeeded", "paid", "failed"]).description(Some("`paid` means `succeeded`")),
        )
        .property("timestamp", nullable(time()))
        .property(
            "amount_minor",
            nullable(whole(0, i64::MAX)).description(Some("In minor units of the currency")),
        )
        .property("currency", nullable(currency()))
}

fn reference() -> ObjectBuilder {
    string()
        .pattern(Some(format!("^(order_)?{ID_PATTERN}$")))
        .description(Some("An order's id or reference"))
}
