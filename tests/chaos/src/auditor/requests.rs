//! Every reply has the form of the contract, and every accepted request has ended.

use std::time::Duration;

use super::{Evidence, Findings};
use crate::history::{End, Exchange, Read, Reply, Request};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for exchange in evidence.exchanges {
        if let Ok(reply) = &exchange.reply {
            form(reply, &format!("{:?}", exchange.request), findings);
            command_headers(exchange, reply, findings);
            let is_expected =
                reply.status >= 500 || is_expected(&exchange.request, reply.status, reply.code());
            findings.check(is_expected, "unexpected reply", || {
                format!("{:?} got {}", exchange.request, brief(reply))
            });
        }
        ended(exchange, evidence, findings);
        positions_fall(exchange, evidence, findings);
    }
    for read in evidence.reads {
        form(&read.reply, &read.path, findings);
        read_is_valid(read, findings);
    }
}

fn brief(reply: &Reply) -> String {
    format!(
        "{} {}",
        reply.status,
        reply.text.chars().take(300).collect::<String>()
    )
}

/// The rules for every reply. `request` names the request in findings.
fn form(reply: &Reply, request: &str, findings: &mut Findings) {
    let rule = "form of a reply";
    let expected_type = if reply.status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    let is_json = reply.body.is_object() && reply.content_type.starts_with(expected_type);
    findings.check(is_json, rule, || {
        format!("{request}: {} as {:?}", brief(reply), reply.content_type)
    });
    if reply.status >= 400 {
        let is_whole = ["type", "title", "detail", "code"]
            .iter()
            .all(|name| reply.body[name].is_string());
        let has_status = reply.body["status"].as_u64() == Some(reply.status.into());
        findings.check(is_whole && has_status, rule, || {
            format!("{request}: an incomplete problem: {}", brief(reply))
        });
    }
    if reply.status >= 500 {
        let is_unavailable = reply.status == 503 && reply.has_retry_after;
        findings.check(is_unavailable, "failure", || {
            format!("{request}: {}", brief(reply))
        });
    }
}

fn command_headers(exchange: &Exchange, reply: &Reply, findings: &mut Findings) {
    let rule = "headers of a reply";
    let request = &exchange.request;
    if exchange.is_accepted() {
        let is_whole = reply.has_retry_after
            && reply.body["status"] == "queued"
            && reply.body["status_url"].as_str() == Some(&reply.location)
            && reply.body["position"].is_u64();
        findings.check(is_whole, rule, || {
            format!("{request:?}: {} at {:?}", brief(reply), reply.location)
        });
    }
    let id = match request {
        Request::Hold { .. } => ("/api/holds/", "hold_id"),
        Request::Order { .. } => ("/api/orders/", "order_id"),
        _ => return,
    };
    if reply.status == 201 {
        let location = format!("{}{}", id.0, reply.body[id.1].as_str().unwrap_or_default());
        findings.check(reply.location == location, rule, || {
            format!("{request:?}: {:?}", reply.location)
        });
    }
}

/// Clients use only existing ids, so a 404 is never expected.
fn is_expected(request: &Request, status: u16, code: &str) -> bool {
    match request {
        Request::Hold { .. } => {
            matches!(
                (status, code),
                (201 | 202, _) | (409, "insufficient_stock") | (422, "idempotency_key_reused")
            )
        }
        Request::Release { .. } => {
            matches!(
                (status, code),
                (200 | 202, _) | (409, "hold_consumed") | (410, "hold_expired")
            )
        }
        Request::Order { .. } => {
            matches!(
                (status, code),
                (201 | 202, _) | (409, "hold_consumed" | "hold_released") | (410, "hold_expired")
            )
        }
        Request::Restock { .. } => {
            matches!(
                (status, code),
                (200 | 202, _) | (409, "insufficient_stock") | (422, "idempotency_key_reused")
            )
        }
        Request::Pay(_) => matches!(
            (status, code),
            (200 | 202, _) | (422, "idempotency_key_reused")
        ),
    }
}

/// An accepted request has an outcome, unless NATS lost its store after it was sent.
fn ended(exchange: &Exchange, evidence: &Evidence<'_>, findings: &mut Findings) {
    if exchange.is_open() {
        let last = exchange.positions.last().map(|(_, position)| *position);
        let accepted = exchange
            .reply
            .as_ref()
            .map(|reply| reply.location.as_str())
            .unwrap_or_default();
        findings.add(
            "accepted request without an end",
            format!(
                "{:?} at {accepted}, last position {last:?}",
                exchange.request
            ),
        );
    }
    for (at, end) in &exchange.ends {
        match end {
            End::Done { status, body } => {
                let code = body["code"].as_str().unwrap_or_default();
                let is_expected = *status != 202 && is_expected(&exchange.request, *status, code);
                findings.check(is_expected, "unexpected outcome", || {
                    format!("{:?}: {status} {body}", exchange.request)
                });
            }
            End::Gone => {
                let was_wiped = evidence
                    .wipes
                    .iter()
                    .any(|(from, to)| *to >= exchange.sent_at && from <= at);
                let later = exchange
                    .outcome()
                    .map(|outcome| (outcome.status, evidence.at(outcome.at)));
                let location = exchange
                    .reply
                    .as_ref()
                    .map(|reply| reply.location.as_str())
                    .unwrap_or_default();
                findings.check(was_wiped, "accepted request got 404", || {
                    format!(
                        "{location} of ingress {}, sent {:.3}, accepted {:.3}, gone {:.3}, then {later:?}: {:?}, key {:?}",
                        exchange.ingress,
                        evidence.at(exchange.sent_at),
                        evidence.at(exchange.replied_at),
                        evidence.at(*at),
                        exchange.request,
                        exchange.key,
                    )
                });
            }
        }
    }
}

/// How long a disconnected ingress may not know that NATS has lost its store.
const STALE_LOG_MAX: Duration = Duration::from_secs(5);

/// A position in the queue only falls while the log is the same. A disconnected ingress still shows positions of the log
/// that it knew.
fn positions_fall(exchange: &Exchange, evidence: &Evidence<'_>, findings: &mut Findings) {
    for pair in exchange.positions.windows(2) {
        let [(before, first), (after, second)] = pair else {
            continue;
        };
        let was_wiped = evidence.wipes.iter().any(|(from, to)| {
            to >= before && from <= after || *to + STALE_LOG_MAX >= exchange.sent_at
        });
        findings.check(second <= first || was_wiped, "position rose", || {
            let location = exchange
                .reply
                .as_ref()
                .map(|reply| reply.location.as_str())
                .unwrap_or_default();
            let (before, after) = (evidence.at(*before), evidence.at(*after));
            format!(
                "{location}: {first} at {before:.3}, {second} at {after:.3}, sent {:.3}",
                evidence.at(exchange.sent_at)
            )
        });
    }
}

/// Reads: every id that a client received exists, and a product's stock adds up.
fn read_is_valid(read: &Read, findings: &mut Findings) {
    let (path, reply) = (&read.path, &read.reply);
    if path.starts_with("/api/requests/") {
        findings.check(
            matches!(reply.status, 200 | 404 | 503),
            "unexpected reply",
            || format!("{path}: {}", brief(reply)),
        );
        return;
    }
    findings.check(
        matches!(reply.status, 200 | 503),
        "read of an existing id",
        || format!("{path}: {}", brief(reply)),
    );
    if path.starts_with("/api/products/") && reply.status == 200 {
        let count = |name: &str| reply.body[name].as_i64().unwrap_or(-1);
        let (available, held, sold) = (
            count("available_stock"),
            count("held_stock"),
            count("sold_stock"),
        );
        let adds_up =
            count("total_stock") == available + held + sold && available.min(held).min(sold) >= 0;
        findings.check(adds_up, "I1 in a product that was read", || brief(reply));
    }
}
