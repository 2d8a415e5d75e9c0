//! The OpenAPI 3.1 description of the API, made from the routes' annotations.
//!
//! An annotation has what is special to its call: path, body, success and problem codes. `complete.rs` adds what many calls
//! share. Bodies are described by [`crate::http::body::fields`], and problem codes by [`crate::http::problem::codes`].

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

/// The description of the whole API.
const ABOUT: &str = "\
A checkout engine for flash sales: holds, orders, payments. Requests and responses are JSON. Times are RFC 3339 in UTC. \
Money is a whole number of minor units.

- A body may have up to 64 KiB. Unknown fields are invalid, except in the payment webhook. \
`DELETE` needs no body. Request headers of more than 64 KiB get 431.
- Every refusal is a problem document (RFC 9457) with a `code`. A path that does not exist is 404 `not_found`.
- Holds, orders and releases wait for their outcome, by default 5 s. Without an outcome in time, the response is 202 with \
the URL of the request's status. A 2xx is sent after its effect is stored.
- A repeat with the same `Idempotency-Key` gets the first outcome. After a 503 or no response, send the request again with its key.
- Under a rate limit, responses have the headers `RateLimit` and `RateLimit-Policy`.
- Every `GET` call also supports `HEAD`.";

const TAGS: [(&str, &str); 7] = [
    ("Products", "Products and their stock"),
    ("Holds", "Units that are reserved for a limited time"),
    ("Orders", "Orders made from holds, to be paid"),
    ("Payments", "Notices from payment providers"),
    ("Requests", "The status of requests that got 202"),
    (
        "Administration",
        "Calls with the admin token. Without `ADMIN_TOKEN` they are 404.",
    ),
    ("Service", "Health, metrics and this description"),
];

/// A description without paths, to which the router adds the routes.
#[must_use]
pub fn without_paths() -> OpenApi {
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
            .description(Some("The server of this document"))
            .build(),
    ]);
    let tag =
        |(name, text): (&str, &str)| TagBuilder::new().name(name).description(Some(text)).build();
    api.tags = Some(TAGS.map(tag).to_vec());
    // By default, a call needs no authentication.
    api.security = Some(Vec::new());
    api.components = Some(components());
    api
}

fn components() -> Components {
    let mut components = Components::new();
    let token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("`ADMIN_TOKEN`"))
        .build();
    components
        .security_schemes
        .insert(ADMIN_TOKEN.to_owned(), SecurityScheme::Http(token).into());
    for (name, header, text) in SIGNATURES {
        let key = ApiKey::Header(ApiKeyValue::with_description(header, text));
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
        .description(
            "The request is queued: it has no outcome yet, or the client did not wait for it",
        )
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

/// The signature schemes of webhooks: name, header, form of the signature.
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

/// Adds 429 to every call of the description.
pub fn add_rate_limit(api: &mut OpenApi) {
    api.paths
        .paths
        .values_mut()
        .for_each(complete::add_rate_limit);
}

/// The methods of a path, for `Allow`.
#[must_use]
pub fn methods(item: &PathItem) -> String {
    let methods = complete::operations(item).flat_map(|(method, _)| match method {
        "GET" => vec!["GET", "HEAD"],
        other => vec![other],
    });
    methods.collect::<Vec<_>>().join(", ")
}

/// Adds to each call what many calls share.
#[must_use]
pub fn completed(mut api: OpenApi) -> OpenApi {
    if let Some(components) = &mut api.components {
        complete::complete(&mut api.paths, components);
    }
    api
}

/// The status of a problem code.
#[cfg(test)]
pub(crate) fn status_of(code: &str) -> Option<u16> {
    crate::http::problem::codes::ALL
        .iter()
        .find(|known| known.name == code)
        .map(|known| known.status.as_u16())
}

/// Every described call: method and path.
#[cfg(test)]
pub(crate) fn calls(api: &OpenApi) -> std::collections::BTreeSet<String> {
    let of = |(path, item): (&String, &PathItem)| {
        complete::operations(item)
            .map(|(method, _)| format!("{method} {path}"))
            .collect::<Vec<_>>()
    };
    api.paths.paths.iter().flat_map(of).collect()
}
