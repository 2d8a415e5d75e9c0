//! Parameters and headers of requests.

use holdfast_common::id::SLOTS;
use holdfast_common::store::rows::PAYMENT_STATES;
use utoipa::IntoParams;
use utoipa::openapi::Required;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::ObjectBuilder;

use crate::http::openapi::schemas::{
    id, integer, one_of, order_name, product_number, string, text,
};
use crate::http::parameters::EVENT_ID_CHARS_MAX;
use crate::http::parameters::page::{PAGE_ITEMS, PAGE_ITEMS_MAX};
use crate::store::payments::REFUND_STATES;

pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
pub(super) const PREFER: &str = "Prefer";
pub(super) const WEBHOOK_KEY: &str = "X-Idempotency-Key";

fn parameter(name: &str, location: ParameterIn, schema: ObjectBuilder, text: &str) -> Parameter {
    let required = if location == ParameterIn::Path {
        Required::True
    } else {
        Required::False
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(location)
        .required(required)
        .schema(Some(schema))
        .description(Some(text))
        .build()
}

/// Defines parameters that several calls use.
macro_rules! parameters {
    ($name:ident, $doc:literal, $($parameter:expr),+ $(,)?) => {
        #[doc = $doc]
        #[derive(Debug)]
        pub struct $name;

        impl IntoParams for $name {
            fn into_params(_: impl Fn() -> Option<ParameterIn>) -> Vec<Parameter> {
                vec![$($parameter),+]
            }
        }
    };
}

/// Printable ASCII that does not start or end with a space.
fn key() -> ObjectBuilder {
    string()
        .min_length(Some(1))
        .max_length(Some(255))
        .pattern(Some("^[!-~]([ -~]*[!-~])?$"))
}

parameters!(
    IdempotencyKey,
    "`Idempotency-Key`",
    parameter(
        IDEMPOTENCY_KEY,
        ParameterIn::Header,
        key().examples(["k-1"]),
        "1 to 255 printable characters. A repeat with the same key gets the first outcome and has no further effect."
    )
);
parameters!(
    Prefer,
    "`Prefer`",
    parameter(
        PREFER,
        ParameterIn::Header,
        string().examples(["respond-async"]),
        "RFC 7240: `wait=N` waits at most N seconds for the outcome, `respond-async` not at all. \
         Other preferences are ignored."
    )
);
parameters!(
    IfNoneMatch,
    "`If-None-Match`",
    parameter(
        "If-None-Match",
        ParameterIn::Header,
        string().examples(["\"7\""]),
        "304 when the `ETag` is in this list"
    )
);
parameters!(
    ProductNumber,
    "A product's number",
    parameter(
        "id",
        ParameterIn::Path,
        product_number(),
        "The product's number"
    )
);
parameters!(
    LastEventId,
    "`Last-Event-ID`",
    parameter(
        "Last-Event-ID",
        ParameterIn::Header,
        string().examples(["7"]),
        "The last version that the client has seen. Other values are ignored."
    )
);
parameters!(
    HoldNumber,
    "A hold's id",
    parameter("id", ParameterIn::Path, id(), "The hold's id")
);
parameters!(
    DeadLetterNumber,
    "A dead letter's number",
    parameter(
        "id",
        ParameterIn::Path,
        integer(1, i64::MAX),
        "The dead letter's number"
    )
);
parameters!(
    EventNumber,
    "An event's id",
    parameter(
        "id",
        ParameterIn::Path,
        text(EVENT_ID_CHARS_MAX).examples(["17-1-0"]),
        "The event's id"
    )
);
parameters!(
    OrderNumber,
    "An order's id or reference",
    parameter(
        "id",
        ParameterIn::Path,
        order_name(),
        "The order's id, which is its hold's, or its reference"
    )
);
parameters!(
    RequestNumber,
    "A request's id and log sequence",
    parameter("id", ParameterIn::Path, id(), "The request's id"),
    parameter(
        "seq",
        ParameterIn::Query,
        integer(0, i64::MAX),
        "Its log sequence, from the `Location` of its 202"
    )
);
parameters!(
    Page,
    "Which page of a list",
    parameter(
        "after",
        ParameterIn::Query,
        integer(0, i64::MAX),
        "The `next` of the previous page"
    ),
    page_limit()
);
parameters!(
    PaymentsPage,
    "Which page of payments",
    parameter(
        "state",
        ParameterIn::Query,
        one_of(PAYMENT_STATES.iter().copied()),
        "By default `parked`, `unmatched` and `refund_due`"
    ),
    payments_after(),
    page_limit()
);
parameters!(
    RefundsPage,
    "Which page of refunds",
    parameter(
        "state",
        ParameterIn::Query,
        one_of(
            REFUND_STATES
                .iter()
                .flat_map(|state| [Some(*state), state.strip_prefix("refund_")])
                .flatten()
        ),
        "By default `due` and `requested`"
    ),
    payments_after(),
    page_limit()
);

parameters!(
    AuditPage,
    "Which page of the audit, with a filter",
    parameter(
        "product_id",
        ParameterIn::Query,
        product_number(),
        "Changes of this product. A request has at most one filter."
    ),
    parameter(
        "hold_id",
        ParameterIn::Query,
        id(),
        "Changes of this hold and its order"
    ),
    parameter(
        "order_id",
        ParameterIn::Query,
        order_name(),
        "Changes of this order and its hold"
    ),
    parameter(
        "after",
        ParameterIn::Query,
        string().pattern(Some("^[0-9]{1,18}(\\.[0-9]{1,9})?$")),
        "The `next` or `last` of the previous page. 0 is the beginning."
    ),
    page_limit()
);
parameters!(
    StockPage,
    "Which products to count",
    parameter(
        "product_id",
        ParameterIn::Query,
        product_number(),
        "Only this product"
    ),
    parameter(
        "after",
        ParameterIn::Query,
        integer(0, i64::from(SLOTS) - 1),
        "The `next` of the previous page"
    )
);
parameters!(
    EventDeadLettersPage,
    "Which page of undelivered events",
    parameter(
        "after",
        ParameterIn::Query,
        string()
            .pattern(Some("^[0-9]{1,15}\\.[^.\\u0000-\\u001F\\u007F-\\u009F]+\\.[^\\u0000-\\u001F\\u007F-\\u009F]+$")),
        "The `next` of the previous page"
    ),
    page_limit()
);

fn page_limit() -> Parameter {
    let limit = integer(1, PAGE_ITEMS_MAX).default(Some(PAGE_ITEMS.into()));
    parameter(
        "limit",
        ParameterIn::Query,
        limit,
        "The most items on a page",
    )
}

fn payments_after() -> Parameter {
    let cursor = "^[0-9]{1,15}\\.[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\\.[^\\u0000-\\u001F\\u007F-\\u009F]+$";
    let cursor = string().pattern(Some(cursor));
    parameter(
        "after",
        ParameterIn::Query,
        cursor,
        "The `next` of the previous page",
    )
}

parameters!(
    SignatureHeaders,
    "The signature and key of a webhook",
    parameter(
        WEBHOOK_KEY,
        ParameterIn::Header,
        text(255),
        "The idempotency key. `X-Webhook-Signature` requires it; with `Stripe-Signature` the default is the body's `id`."
    ),
    parameter(
        "webhook-id",
        ParameterIn::Header,
        text(255),
        "Standard Webhooks: the idempotency key"
    ),
    parameter(
        "webhook-timestamp",
        ParameterIn::Header,
        string().pattern(Some("^[0-9]+$")),
        "Standard Webhooks: Unix seconds, at most 5 minutes from the server's time"
    )
);
