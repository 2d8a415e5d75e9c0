//! Adds to each operation what many operations share: responses, headers, security.
//!
//! An annotation states a refusal as a status whose description lists the problem codes, separated by commas. This module
//! replaces it by a reusable response with the problem documents of these codes.

use std::collections::BTreeMap;

use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Components, Header, Ref, RefOr, Response};

use crate::http::openapi::parameters::{IDEMPOTENCY_KEY, PREFER, WEBHOOK_KEY};
use crate::http::openapi::problems;
use crate::http::openapi::schemas::{integer, string};
use crate::http::problem::codes::{self, ProblemCode};

/// The name of the security scheme of the admin token.
pub(super) const ADMIN_TOKEN: &str = "adminToken";

/// The operations of a path, by method.
pub(super) fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [
        ("GET", &item.get),
        ("POST", &item.post),
        ("DELETE", &item.delete),
        ("PATCH", &item.patch),
    ];
    all.into_iter()
        .filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn operations_mut(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut item.get,
        &mut item.post,
        &mut item.delete,
        &mut item.patch,
    ]
    .into_iter()
    .flatten()
}

/// Completes every operation.
pub(super) fn complete(paths: &mut utoipa::openapi::Paths, components: &mut Components) {
    components
        .headers
        .extend(headers().map(|(name, header)| (name.to_owned(), header.into())));
    for (path, item) in &mut paths.paths {
        for operation in operations_mut(item) {
            let traits = OperationTraits::of(path, operation);
            if traits.is_admin {
                operation.security = Some(vec![SecurityRequirement::new(ADMIN_TOKEN, [""; 0])]);
            }
            add_refusals(operation, &traits, components);
            complete_successes(operation, &traits);
        }
    }
}

/// The traits of an operation that decide which responses and headers it gets.
struct OperationTraits {
    is_api: bool,
    is_admin: bool,
    is_limited: bool,
    has_json: bool,
    is_webhook: bool,
    has_query: bool,
    is_keyed: bool,
    is_command: bool,
}

impl OperationTraits {
    fn of(path: &str, operation: &Operation) -> Self {
        let parameters = || operation.parameters.iter().flatten().filter_map(inline);
        let has = |name: &str| parameters().any(|parameter| parameter.name == name);
        Self {
            is_api: path.starts_with("/api/"),
            is_admin: path.starts_with("/api/admin/"),
            is_limited: operation.responses.responses.contains_key("429"),
            has_json: operation.request_body.is_some(),
            has_query: parameters().any(|parameter| parameter.parameter_in == ParameterIn::Query),
            is_webhook: has(WEBHOOK_KEY),
            is_keyed: has(IDEMPOTENCY_KEY) || has(WEBHOOK_KEY),
            is_command: has(PREFER),
        }
    }

    /// The codes that follow from the traits, so that annotations need not list them.
    fn codes(&self) -> Vec<&'static str> {
        let groups: [(bool, &[&'static str]); 8] = [
            (true, &["method_not_allowed"]),
            (self.is_api, &["internal_error", "store_unavailable"]),
            (self.is_admin, &["unauthorized", "not_found"]),
            (
                self.has_json,
                &["malformed_json", "payload_too_large", "request_timeout"],
            ),
            (
                self.has_json && !self.is_webhook,
                &["unsupported_media_type"],
            ),
            (
                self.has_json || self.has_query || self.is_keyed,
                &["invalid_request"],
            ),
            (self.is_keyed, &["idempotency_key_reused"]),
            (
                self.is_command,
                &[
                    "command_failed",
                    "overloaded",
                    "log_unavailable",
                    "log_full",
                ],
            ),
        ];
        groups
            .iter()
            .filter(|(is_so, _)| *is_so)
            .flat_map(|(_, codes)| *codes)
            .copied()
            .collect()
    }

    /// The headers of responses with an outcome.
    fn outcome_headers(&self) -> Vec<&'static str> {
        let headers = [
            (self.is_command, "Preference-Applied"),
            (self.is_keyed, "Idempotent-Replayed"),
        ];
        headers
            .into_iter()
            .filter(|(has, _)| *has)
            .map(|(_, name)| name)
            .collect()
    }
}

fn inline<T>(one: &RefOr<T>) -> Option<&T> {
    match one {
        RefOr::T(one) => Some(one),
        RefOr::Ref(_) => None,
    }
}

/// Replaces the annotation's refusals by responses, and adds the refusals that follow from the traits.
fn add_refusals(operation: &mut Operation, traits: &OperationTraits, components: &mut Components) {
    let responses = &mut operation.responses.responses;
    let written = responses.extract_if(.., |status, _| status.starts_with(['4', '5']));
    let written: Vec<String> = written
        .filter_map(|(_, response)| inline(&response).map(|response| response.description.clone()))
        .collect();
    let named = written
        .iter()
        .flat_map(|codes| codes.split(", "))
        .chain(traits.codes());
    let mut by_status = BTreeMap::<u16, Vec<&ProblemCode>>::new();
    for code in named {
        let Some(problem) = codes::ALL.iter().find(|known| known.name == code) else {
            continue;
        };
        by_status
            .entry(problem.status.as_u16())
            .or_default()
            .push(*problem);
    }
    for (status, mut problems) in by_status {
        problems.sort_by_key(|code| code.name);
        problems.dedup_by_key(|code| code.name);
        let name = component(&problems, traits, components);
        responses.insert(
            status.to_string(),
            RefOr::Ref(Ref::from_response_name(name)),
        );
    }
}

/// The name of the reusable response for these codes. The name also tells the headers of the outcomes among them.
fn component(
    problems: &[&'static ProblemCode],
    traits: &OperationTraits,
    components: &mut Components,
) -> String {
    let has_outcome = problems.iter().any(|problem| problem.is_outcome);
    let outcome_headers = if has_outcome {
        traits.outcome_headers()
    } else {
        Vec::new()
    };
    let names: Vec<_> = problems.iter().map(|code| code.name).collect();
    let kept: &[&str] = match (
        traits.is_command && has_outcome,
        traits.is_keyed && has_outcome,
    ) {
        (true, true) => &["keyed"],
        (true, false) => &["command"],
        (false, true) => &["webhook"],
        (false, false) => &[],
    };
    let name = [names.as_slice(), kept].concat().join(".");
    components.responses.entry(name.clone()).or_insert_with(|| {
        let mut response = problems::response(problems);
        let status_headers: &[&str] = match problems.first().map(|code| code.status.as_u16()) {
            Some(401) if names.contains(&codes::UNAUTHORIZED.name) => &["WWW-Authenticate"],
            Some(405) => &["Allow"],
            Some(429) => &["Retry-After", "RateLimit", "RateLimit-Policy"],
            Some(503) => &["Retry-After"],
            _ => &[],
        };
        add(&mut response, status_headers.iter().chain(&outcome_headers));
        response.into()
    });
    name
}

fn complete_successes(operation: &mut Operation, traits: &OperationTraits) {
    if traits.is_command {
        let queued = RefOr::Ref(Ref::from_response_name("queued"));
        operation
            .responses
            .responses
            .entry("202".to_owned())
            .or_insert(queued);
    }
    let is_versioned = operation.responses.responses.contains_key("304");
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        add(
            response,
            traits.outcome_headers().iter().filter(|_| status != "304"),
        );
        if status == "201" {
            add(response, &["Location"]);
        }
        if is_versioned {
            add(response, &["ETag"]);
        }
        if traits.is_limited {
            add(response, &["RateLimit", "RateLimit-Policy"]);
        }
    }
}

/// Adds headers to a response, as references to the shared descriptions.
pub(super) fn add<'a>(response: &mut Response, names: impl IntoIterator<Item = &'a &'a str>) {
    for name in names {
        let header = RefOr::Ref(Ref::new(format!("#/components/headers/{name}")));
        response.headers.insert((*name).to_owned(), header);
    }
}

fn headers() -> impl Iterator<Item = (&'static str, Header)> {
    let seconds = || integer(1, i64::MAX);
    [
        (
            "Location",
            string().examples(["/api/holds/01a20634-0c9b-8cc1-96dc-8d450eaf51d9"]),
            "The URL of the new resource, or of the request's status",
        ),
        (
            "Retry-After",
            seconds(),
            "Seconds to wait before the next attempt",
        ),
        (
            "ETag",
            string().examples(["\"7\""]),
            "The version of the document",
        ),
        (
            "Idempotent-Replayed",
            string().enum_values(Some(["true"])),
            "Present when this is the outcome of an earlier request with the same key",
        ),
        (
            "Preference-Applied",
            string().examples(["respond-async"]),
            "RFC 7240: the preferences that the server applied",
        ),
        (
            "RateLimit",
            string().examples(["\"ip\";r=199;t=1"]),
            "draft-ietf-httpapi-ratelimit-headers: the remaining requests",
        ),
        (
            "RateLimit-Policy",
            string().examples(["\"ip\";q=200;w=2"]),
            "draft-ietf-httpapi-ratelimit-headers: the limit",
        ),
        (
            "Allow",
            string().examples(["GET, HEAD"]),
            "The methods of this path",
        ),
        (
            "WWW-Authenticate",
            string().enum_values(Some(["Bearer"])),
            "The authentication scheme",
        ),
    ]
    .into_iter()
    .map(|(name, schema, text)| {
        (
            name,
            HeaderBuilder::new()
                .schema(Some(schema))
                .description(Some(text))
                .build(),
        )
    })
}

/// Adds 429 to the operations of a path.
pub(super) fn add_rate_limit(item: &mut PathItem) {
    for operation in operations_mut(item) {
        operation
            .responses
            .responses
            .insert("429".to_owned(), Response::new("rate_limited").into());
    }
}
