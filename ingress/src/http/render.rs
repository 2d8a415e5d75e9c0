//! From an outcome to its HTTP response. An outcome has the same response at once, replayed and polled.

use axum::http::header::{CONTENT_TYPE, IF_NONE_MATCH, LOCATION, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use holdfast_common::domain::Decision;
use holdfast_common::outcome::{Outcome, SettlementResult};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::commands::submit::{QueuedRequest, Submitted};
use crate::http::prefer::Preference;
use crate::http::problem::{FailureCode, Problem, codes};
use crate::http::views::{
    DoneView, HoldView, OrderView, ProductView, QueuedView, RequestView, ResponseView,
    SettledLetter, SettlementView,
};

const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// Marks the response of an earlier request with the same key.
pub const IDEMPOTENT_REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
pub(crate) const APPLICATION_JSON: HeaderValue = HeaderValue::from_static("application/json");
pub(crate) const APPLICATION_PROBLEM: HeaderValue =
    HeaderValue::from_static("application/problem+json");

/// A JSON document with a status.
pub fn json(status: StatusCode, document: &impl Serialize) -> Response {
    match serde_json::to_vec(document) {
        Ok(body) => (status, [(CONTENT_TYPE, APPLICATION_JSON)], body).into_response(),
        Err(error) => serialisation_failed(&error),
    }
}

fn header(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// The response to a submitted command.
pub fn submitted(submitted: &Submitted, preference: &Preference) -> Response {
    let response = match submitted {
        Submitted::Done(decision) => decided(decision),
        Submitted::Queued(queued) => accepted(queued),
    };
    with_preference(response, preference)
}

/// Adds `Preference-Applied` (RFC 7240, section 3) to a response.
pub(crate) fn with_preference(mut response: Response, preference: &Preference) -> Response {
    if let Some(applied) = preference.applied() {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}

/// The status and document of an outcome.
fn document(outcome: &Outcome) -> serde_json::Result<(StatusCode, Box<RawValue>)> {
    Ok(match outcome {
        Outcome::ProductCreated(product) => (
            StatusCode::CREATED,
            to_raw_value(&ProductView::from(&**product))?,
        ),
        Outcome::ProductChanged(product) => (
            StatusCode::OK,
            to_raw_value(&ProductView::from(&**product))?,
        ),
        Outcome::HoldCreated(hold) => (
            StatusCode::CREATED,
            to_raw_value(&HoldView::as_decided(hold))?,
        ),
        Outcome::HoldReleased(hold) => (StatusCode::OK, to_raw_value(&HoldView::as_decided(hold))?),
        Outcome::OrderCreated(order) => (
            StatusCode::CREATED,
            to_raw_value(&OrderView::from(&**order))?,
        ),
        Outcome::PaymentSettled(settlement) => {
            let is_parked = settlement.result == SettlementResult::Parked;
            let status = if is_parked {
                StatusCode::ACCEPTED
            } else {
                StatusCode::OK
            };
            (status, to_raw_value(&SettlementView::from(settlement))?)
        }
        Outcome::Refused(refusal) => problem_document(&Problem::from(*refusal))?,
        // Nobody waits for an internal command, and its outcome is not stored: no client gets it.
        Outcome::Failed | Outcome::Internal => {
            problem_document(&Problem::new(&codes::COMMAND_FAILED))?
        }
        Outcome::DeadLetterSettled(settled) => {
            let status = if settled.is_applied {
                "retried"
            } else {
                "dropped"
            };
            (
                StatusCode::OK,
                to_raw_value(&SettledLetter {
                    id: settled.id,
                    status,
                })?,
            )
        }
        Outcome::StockRepaired(repair) => (StatusCode::OK, to_raw_value(repair)?),
    })
}

fn problem_document(problem: &Problem) -> serde_json::Result<(StatusCode, Box<RawValue>)> {
    Ok((problem.status(), to_raw_value(problem)?))
}

/// The response with an outcome.
pub fn decided(Decision { replayed, outcome }: &Decision) -> Response {
    let (status, body) = match document(outcome) {
        Ok((status, body)) => (status, Box::<str>::from(body).into_string()),
        Err(error) => return serialisation_failed(&error),
    };
    let is_problem = matches!(
        outcome,
        Outcome::Refused(_) | Outcome::Failed | Outcome::Internal
    );
    let content_type = if is_problem {
        APPLICATION_PROBLEM
    } else {
        APPLICATION_JSON
    };
    let mut response = (status, [(CONTENT_TYPE, content_type)], body).into_response();
    match outcome {
        Outcome::ProductCreated(new) => header(
            &mut response,
            LOCATION,
            &format!("/api/products/{}", new.product.id),
        ),
        Outcome::HoldCreated(hold) => {
            header(&mut response, LOCATION, &format!("/api/holds/{}", hold.id))
        }
        Outcome::OrderCreated(order) => header(
            &mut response,
            LOCATION,
            &format!("/api/orders/{}", order.id),
        ),
        Outcome::ProductChanged(_)
        | Outcome::HoldReleased(_)
        | Outcome::PaymentSettled(_)
        | Outcome::Refused(_)
        | Outcome::Failed
        | Outcome::DeadLetterSettled(_)
        | Outcome::StockRepaired(_)
        | Outcome::Internal => {}
    }
    if *outcome == Outcome::Failed {
        response
            .extensions_mut()
            .insert(FailureCode(codes::COMMAND_FAILED.name));
    }
    if *replayed {
        response
            .headers_mut()
            .insert(IDEMPOTENT_REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn serialisation_failed(error: &serde_json::Error) -> Response {
    tracing::error!(%error, "serialising a document failed; the client gets 500");
    Problem::new(&codes::INTERNAL_ERROR).into_response()
}

/// RFC 9110, section 13.1.2: any of the listed tags, compared weakly, or `*`.
pub(crate) fn has_version(request: &HeaderMap, etag: &HeaderValue) -> bool {
    let listed = request
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok());
    listed
        .flat_map(|list| list.split(','))
        .map(str::trim)
        .any(|tag| tag == "*" || tag.trim_start_matches("W/") == *etag)
}

fn accepted(queued: &QueuedRequest) -> Response {
    let view = QueuedView::from(queued);
    let mut response = json(StatusCode::ACCEPTED, &view);
    header(&mut response, LOCATION, &view.status_url);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// The status of a request that is still queued.
pub fn queued_status(queued: &QueuedRequest) -> Response {
    json(StatusCode::OK, &RequestView::Queued(queued.into()))
}

/// The status of a request that is done.
pub fn done_status(request_id: uuid::Uuid, decision: &Decision) -> Response {
    match document(&decision.outcome) {
        Ok((status, body)) => {
            let response = ResponseView {
                status: status.as_u16(),
                body,
            };
            json(
                StatusCode::OK,
                &RequestView::Done(DoneView {
                    request_id,
                    status: "done",
                    response,
                }),
            )
        }
        Err(error) => serialisation_failed(&error),
    }
}
