//! Every answer has the contract's form, and every accepted request ended.

use std::time::Duration;

use super::{Evidence, Findings};
use crate::record::{Asked, End, Exchange, Read, Reply};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for exchange in evidence.exchanges {
        if let Ok(reply) = &exchange.told {
            form(reply, &format!("{:?}", exchange.asked), findings);
            command_headers(exchange, reply, findings);
            let is_expected =
                reply.status >= 500 || is_expected(&exchange.asked, reply.status, reply.code());
            findings.check(is_expected, "unexpected answer", || {
                format!("{:?} got {}", exchange.asked, brief(reply))
            });
        }
        ended(exchange, evidence, findings);
        places(exchange, evidence, findings);
    }
    for read in evidence.reads {
        form(&read.reply, &read.path, findings);
        shown(read, findings);
    }
}

fn brief(reply: &Reply) -> String {
    format!(
        "{} {}",
        reply.status,
        reply.text.chars().take(300).collect::<String>()
    )
}

/// What holds of every answer.
fn form(reply: &Reply, whose: &str, findings: &mut Findings) {
    let rule = "form of an answer";
    let expected_type = if reply.status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    let is_json = reply.body.is_object() && reply.content_type.starts_with(expected_type);
    findings.check(is_json, rule, || {
        format!("{whose}: {} as {:?}", brief(reply), reply.content_type)
    });
    if reply.status >= 400 {
        let is_whole = ["type", "title", "detail", "code"]
            .iter()
            .all(|name| reply.body[name].is_string());
        let has_status = reply.body["status"].as_u64() == Some(reply.status.into());
        findings.check(is_whole && has_status, rule, || {
            format!("{whose}: an incomplete problem: {}", brief(reply))
        });
    }
    if reply.status >= 500 {
        let is_unavailable = reply.status == 503 && reply.has_retry_after;
        findings.check(is_unavailable, "failure", || {
            format!("{whose}: {}", brief(reply))
        });
    }
}

fn command_headers(exchange: &Exchange, reply: &Reply, findings: &mut Findings) {
    let rule = "headers of an answer";
    let asked = &exchange.asked;
    if exchange.is_accepted() {
        let is_whole = reply.has_retry_after
            && reply.body["status"] == "queued"
            && reply.body["status_url"].as_str() == Some(&reply.location)
            && reply.body["position"].is_u64();
        findings.check(is_whole, rule, || {
            format!("{asked:?}: {} at {:?}", brief(reply), reply.location)
        });
    }
    let id = match asked {
        Asked::Hold { .. } => ("/api/holds/", "hold_id"),
        Asked::Order { .. } => ("/api/orders/", "order_id"),
        _ => return,
    };
    if reply.status == 201 {
        let location = format!("{}{}", id.0, reply.body[id.1].as_str().unwrap_or_default());
        findings.check(reply.location == location, rule, || {
            format!("{asked:?}: {:?}", reply.location)
        });
    }
}

/// Clients ask only for what is there, so a 404 is never expected.
fn is_expected(asked: &Asked, status: u16, code: &str) -> bool {
    match asked {
        Asked::Hold { .. } => {
            matches!(
                (status, code),
                (201 | 202, _) | (409, "insufficient_stock") | (422, "idempotency_key_reused")
            )
        }
        Asked::Release { .. } => {
            matches!(
                (status, code),
                (200 | 202, _) | (409, "hold_consumed") | (410, "hold_expired")
            )
        }
        Asked::Order { .. } => {
            matches!(
                (status, code),
                (201 | 202, _) | (409, "hold_consumed" | "hold_released") | (410, "hold_expired")
            )
        }
        Asked::Restock { .. } => {
            matches!(
                (status, code),
                (200 | 202, _) | (409, "insufficient_stock") | (422, "idempotency_key_reused")
            )
        }
        Asked::Pay(_) => matches!(
            (status, code),
            (200 | 202, _) | (422, "idempotency_key_reused")
        ),
    }
}

/// An accepted request has an outcome, unless NATS lost its store after it was sent.
fn ended(exchange: &Exchange, evidence: &Evidence<'_>, findings: &mut Findings) {
    if exchange.is_open() {
        let last = exchange.places.last().map(|(_, place)| *place);
        let accepted = exchange
            .told
            .as_ref()
            .map(|reply| reply.location.as_str())
            .unwrap_or_default();
        findings.add(
            "accepted request without an end",
            format!("{:?} at {accepted}, last place {last:?}", exchange.asked),
        );
    }
    for (at, end) in &exchange.ends {
        match end {
            End::Done { status, body } => {
                let code = body["code"].as_str().unwrap_or_default();
                let is_expected = *status != 202 && is_expected(&exchange.asked, *status, code);
                findings.check(is_expected, "unexpected outcome", || {
                    format!("{:?}: {status} {body}", exchange.asked)
                });
            }
            End::Gone => {
                let was_wiped = evidence
                    .wipes
                    .iter()
                    .any(|(from, to)| *to >= exchange.sent && from <= at);
                let later = exchange
                    .outcome()
                    .map(|outcome| (outcome.status, evidence.at(outcome.at)));
                let location = exchange
                    .told
                    .as_ref()
                    .map(|reply| reply.location.as_str())
                    .unwrap_or_default();
                findings.check(was_wiped, "accepted request answered 404", || {
                    format!(
                        "{location} of ingress {}, sent {:.3}, accepted {:.3}, gone {:.3}, then {later:?}: {:?}, key {:?}",
                        exchange.ingress,
                        evidence.at(exchange.sent),
                        evidence.at(exchange.answered),
                        evidence.at(*at),
                        exchange.asked,
                        exchange.key,
                    )
                });
            }
        }
    }
}

/// How long an ingress whose line was cut may not know that NATS has lost its store.
const UNHEARD: Duration = Duration::from_secs(5);

/// A place in line only falls, as long as the line is the same. An ingress that can't ask NATS tells places as if the log was
/// still the one that it knew.
fn places(exchange: &Exchange, evidence: &Evidence<'_>, findings: &mut Findings) {
    for pair in exchange.places.windows(2) {
        let [(before, first), (after, second)] = pair else {
            continue;
        };
        let was_wiped = evidence
            .wipes
            .iter()
            .any(|(from, to)| to >= before && from <= after || *to + UNHEARD >= exchange.sent);
        findings.check(second <= first || was_wiped, "place in line rose", || {
            let location = exchange
                .told
                .as_ref()
                .map(|reply| reply.location.as_str())
                .unwrap_or_default();
            let (before, after) = (evidence.at(*before), evidence.at(*after));
            format!(
                "{location}: {first} at {before:.3}, {second} at {after:.3}, sent {:.3}",
                evidence.at(exchange.sent)
            )
        });
    }
}

/// Reads: what clients were told of is there, and a product's stock adds up.
fn shown(read: &Read, findings: &mut Findings) {
    let (path, reply) = (&read.path, &read.reply);
    if path.starts_with("/api/requests/") {
        findings.check(
            matches!(reply.status, 200 | 404 | 503),
            "unexpected answer",
            || format!("{path}: {}", brief(reply)),
        );
        return;
    }
    findings.check(
        matches!(reply.status, 200 | 503),
        "read of what is there",
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
