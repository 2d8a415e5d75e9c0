//! The description of the API (OpenAPI 3.1), made from the routes themselves.
//!
//! A handler's annotation says what is its own: path, fields, success, refusals by code. What many have in common (bodies'
//! limits, the administration's token, keys, preferences, rates) is added in `complete.rs`; bounds and words come from the
//! code that keeps them. Nothing here answers anybody but for the finished document.

mod complete;
mod parameters;
mod problems;
pub(crate) mod schemas;

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, PathItem, Ref,
    ResponseBuilder, ServerBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use self::complete::ADMIN_TOKEN;
pub use self::parameters::{
    AuditPage, DeadLetterNumber, EventDeadLettersPage, EventNumber, HoldNumber, IdempotencyKey,
    IfNoneMatch, LastEventId, OrderNumber, Page, PaymentsPage, Prefer, ProductNumber, RefundsPage,
    RequestNumber, SignatureHeaders, StockPage,
};
pub use self::problems::ProblemDocument;
pub use self::schemas::{
    CancelledFor, CurrencyCode, HoldStatus, PaymentResult, RefundCause, RefundProgress,
    StateOfPayment, StatusOfOrder,
};
use crate::http::views::QueuedView;

/// What applies everywhere.
const ABOUT: &str = "\
A checkout engine for flash sales: holds, orders, payments. JSON in, JSON out; times are RFC 3339 in UTC; money is a whole \
number of minor units.

- A body may have up to 64 KiB; fields that are not known are refused, but for the payment webhook's. \
`DELETE` needs no body. A head of more than 64 KiB is refused with 431.
- Every refusal is a problem document (RFC 9457) with a `code`. A path that does not exist is 404 `not_found`.
- Holds, orders and releases wait for their outcome, 5 seconds unless configured otherwise; without one in time they answer \
202 and where to ask. A 2xx is sent after its effect is stored.
- With an `Idempotency-Key` a repeat gets the first outcome. After a 503, or no answer at all, repeat the request with its key.
- Where there is a rate limit, what it counts has the fields `RateLimit` and `RateLimit-Policy`, refusals included.
- `GET` can be asked as `HEAD`.";

const TAGS: [(&str, &str); 7] = [
    ("Products", "What is on sale"),
    ("Holds", "Units set aside for a while"),
    ("Orders", "Holds that somebody means to pay"),
    ("Payments", "What a payment provider tells"),
    ("Requests", "What became of requests that were answered 202"),
    (
        "Administration",
        "For the holder of the admin token; without one configured these answer 404",
    ),
    ("Service", "Whether it runs, and what it can do"),
];

/// What a description begins with, for the routes to add to.
#[must_use]
pub fn begun() -> OpenApi {
    let license = LicenseBuilder::new()
        .name("MIT OR Apache-2.0")
        .identifier(Some("MIT OR Apache-2.0"))
        .build();
    let info = InfoBuilder::new()
        .title("Holdfast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(license))
        .build();
    let mut api = OpenApi::new(info, utoipa::openapi::Paths::new());
    api.servers = Some(vec![
        ServerBuilder::new()
            .url("/")
            .description(Some("Where this document comes from"))
            .build(),
    ]);
    let tag =
        |(name, says): (&str, &str)| TagBuilder::new().name(name).description(Some(says)).build();
    api.tags = Some(TAGS.map(tag).to_vec());
    // Nothing, but for those that say otherwise.
    api.security = Some(Vec::new());
    api.components = Some(components());
    api
}

fn components() -> Components {
    let mut components = Components::new();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("The token of the administration"))
        .build();
    components
        .security_schemes
        .insert(ADMIN_TOKEN.to_owned(), SecurityScheme::Http(token).into());
    for (name, header, says) in SIGNATURES {
        let key = ApiKey::Header(ApiKeyValue::with_description(header, says));
        components
            .security_schemes
            .insert(name.to_owned(), SecurityScheme::ApiKey(key).into());
    }
    components.schemas.insert(
        ProblemDocument::name().into_owned(),
        ProblemDocument::schema(),
    );
    components
        .schemas
        .insert(QueuedView::name().into_owned(), QueuedView::schema());
    let content = ContentBuilder::new()
        .schema(Some(Ref::from_schema_name(QueuedView::name())))
        .build();
    let mut queued = ResponseBuilder::new()
        .description("No outcome in time, or none was waited for: the request is in line")
        .content("application/json", content)
        .build();
    complete::add(
        &mut queued,
        &["Location", "Retry-After", "Preference-Applied"],
    );
    components
        .responses
        .insert("queued".to_owned(), queued.into());
    components
}

/// The ways to sign a webhook: name, header, how it is made.
const SIGNATURES: [(&str, &str, &str); 3] = [
    (
        "standardWebhooks",
        "webhook-signature",
        "`v1,` and the base64 of HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`",
    ),
    (
        "stripe",
        "Stripe-Signature",
        "`t={Unix seconds},v1={hex of HMAC-SHA256 over \"{t}.{body}\"}`",
    ),
    (
        "hexDigest",
        "X-Webhook-Signature",
        "Hex of HMAC-SHA256 over the body, with or without `sha256=` before it",
    ),
];

/// Says of every call in a description that it is limited by its client's address.
pub fn limit(api: &mut OpenApi) {
    api.paths.paths.values_mut().for_each(complete::limit);
}

/// The methods of a path, as `Allow` has them.
#[must_use]
pub fn methods(item: &PathItem) -> String {
    let methods = complete::operations(item).flat_map(|(method, _)| match method {
        "GET" => vec!["GET", "HEAD"],
        other => vec![other],
    });
    methods.collect::<Vec<_>>().join(", ")
}

/// Adds what calls have in common.
#[must_use]
pub fn finished(mut api: OpenApi) -> OpenApi {
    if let Some(components) = &mut api.components {
        complete::complete(&mut api.paths, components);
    }
    api
}

/// The status that goes with a code, if there is such a code.
#[cfg(test)]
pub(crate) fn status_of(code: &str) -> Option<u16> {
    crate::http::problem::codes::ALL
        .iter()
        .find(|known| known.name == code)
        .map(|known| known.status.as_u16())
}

/// Every path with every method that it is described for.
#[cfg(test)]
pub(crate) fn calls(api: &OpenApi) -> std::collections::BTreeSet<String> {
    let of = |(path, item): (&String, &PathItem)| {
        complete::operations(item)
            .map(|(method, _)| format!("{method} {path}"))
            .collect::<Vec<_>>()
    };
    api.paths.paths.iter().flat_map(of).collect()
}
