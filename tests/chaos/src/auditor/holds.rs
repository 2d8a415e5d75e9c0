//! Holds: each 201 has a row, each row has a request, and sequences follow the order of the requests (I6).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use chrono::DateTime;

use super::tables::HoldRow;
use super::{Evidence, Findings};
use crate::history::{End, Exchange, Outcome, Request};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut makers: HashMap<&str, (&str, Option<&str>)> = HashMap::new();
    for exchange in evidence.exchanges {
        let Some(outcome) = exchange.outcome() else {
            continue;
        };
        match &exchange.request {
            Request::Hold { customer, .. } if outcome.status == 201 => {
                created(exchange, &outcome, evidence, findings);
                let id = outcome.body["hold_id"].as_str().unwrap_or_default();
                let maker = (customer.as_str(), exchange.key.as_deref());
                let first = *makers.entry(id).or_insert(maker);
                findings.check(first == maker, "I4: one hold, two requests", || {
                    format!("{id}: {first:?}, {maker:?}")
                });
            }
            Request::Hold { quantity, .. } => {
                let available = outcome.body["available_stock"].as_i64();
                findings.check(
                    available.is_none_or(|available| available < *quantity),
                    "refused although stock was available",
                    || format!("{:?}: {}", exchange.request, outcome.body),
                );
            }
            Request::Release { hold } => released(hold, &outcome, evidence, findings),
            _ => {}
        }
    }
    rows_have_requests(evidence, findings);
    reads_stay_true(evidence, findings);
    sequences_are_gapless(evidence, findings);
    sequences_follow_requests(evidence, findings);
}

/// The row of a 201 exists and has the same values.
fn created(
    exchange: &Exchange,
    outcome: &Outcome<'_>,
    evidence: &Evidence<'_>,
    findings: &mut Findings,
) {
    let rule = "I5: an accepted hold";
    let body = outcome.body;
    let id = body["hold_id"].as_str().unwrap_or_default();
    let Some(row) = evidence.tables.holds.get(id) else {
        return findings.add(rule, format!("{id} has no row: {:?}", exchange.request));
    };
    let expires_at = body["expires_at"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let is_equal = body["product_id"] == row.product_id
        && body["quantity"] == row.quantity
        && body["customer_id"].as_str() == row.customer_id.as_deref()
        && body["sequence"] == row.sequence
        && body["status"] == "active"
        && expires_at.is_some_and(|time| time == row.expires_at);
    findings.check(is_equal, rule, || format!("reply {body}, row {row:?}"));
}

fn released(hold: &str, outcome: &Outcome<'_>, evidence: &Evidence<'_>, findings: &mut Findings) {
    let status = match (outcome.status, outcome.code()) {
        (200, _) => "released",
        (409, "hold_consumed") => "consumed",
        (410, _) => "expired",
        _ => return,
    };
    stays(hold, status, evidence, findings);
}

/// I2: a hold keeps the final status that a client received.
pub(super) fn stays(hold: &str, received: &str, evidence: &Evidence<'_>, findings: &mut Findings) {
    let status = evidence
        .tables
        .holds
        .get(hold)
        .map(|row| row.status.as_str());
    findings.check(
        status == Some(received),
        "I2: final status of a hold",
        || format!("{hold}: a client received {received}, the row has {status:?}"),
    );
}

/// Each row has a request with the same values, and no request made two rows.
fn rows_have_requests(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut request: HashMap<&str, Vec<&Exchange>> = HashMap::new();
    for exchange in evidence.exchanges {
        if let Request::Hold { customer, .. } = &exchange.request {
            request.entry(customer).or_default().push(exchange);
        }
    }
    let mut rows: HashMap<&str, Vec<&HoldRow>> = HashMap::new();
    for row in evidence.tables.holds.values() {
        rows.entry(row.customer_id.as_deref().unwrap_or_default())
            .or_default()
            .push(row);
    }
    for (customer, rows) in &rows {
        // Each customer id belongs to one request and its repeats.
        findings.check(rows.len() == 1, "I4: one request, two holds", || {
            format!("{customer}: {rows:?}")
        });
        for row in rows {
            let of_row = |exchange: &&&Exchange| {
                matches!(&exchange.request, Request::Hold { product, quantity, .. }
                    if (*product, *quantity) == (row.product_id, row.quantity))
            };
            let requests: Vec<_> = request
                .get(customer)
                .into_iter()
                .flatten()
                .filter(of_row)
                .collect();
            findings.check(!requests.is_empty(), "I7: a hold without a request", || {
                format!("{row:?}")
            });
            let refused = requests
                .iter()
                .find(|exchange| exchange.outcome().is_some_and(|end| end.status != 201));
            findings.check(refused.is_none(), "I5: refused, but has an effect", || {
                format!("{refused:?}: {row:?}")
            });
        }
    }
}

/// A hold keeps the final status that a read showed.
fn reads_stay_true(evidence: &Evidence<'_>, findings: &mut Findings) {
    for read in evidence
        .reads
        .iter()
        .filter(|read| read.reply.status == 200)
    {
        let Some(id) = read.path.strip_prefix("/api/holds/") else {
            continue;
        };
        let status = read.reply.body["status"].as_str().unwrap_or_default();
        if status != "active" {
            stays(id, status, evidence, findings);
        }
    }
}

/// A product's sequences are 1, 2, 3 and so on.
fn sequences_are_gapless(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut sequences: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in evidence.tables.holds.values() {
        sequences
            .entry(row.product_id)
            .or_default()
            .push(row.sequence);
    }
    for (product, mut sequences) in sequences {
        sequences.sort_unstable();
        let last = evidence
            .tables
            .products
            .get(&product)
            .map_or(0, |row| row.hold_sequence);
        let is_gapless = sequences.iter().copied().eq(1..=last);
        findings.check(is_gapless, "sequences without gaps", || {
            let gap = sequences
                .iter()
                .zip(1..)
                .find(|(found, expected)| **found != *expected);
            format!(
                "product {product}: {} holds, last sequence {last}, first difference {gap:?}",
                sequences.len()
            )
        });
    }
}

/// I6: a hold with a reply before another request was sent has the lower sequence.
fn sequences_follow_requests(evidence: &Evidence<'_>, findings: &mut Findings) {
    // For a hold and its repeats: product, sequence, the first send, and the first reply that makes its place certain.
    let mut spans: HashMap<&str, (i64, i64, Instant, Instant)> = HashMap::new();
    for exchange in evidence.exchanges {
        let (Request::Hold { product, .. }, Some(outcome)) =
            (&exchange.request, exchange.outcome())
        else {
            continue;
        };
        if outcome.status != 201 {
            continue;
        }
        let id = outcome.body["hold_id"].as_str().unwrap_or_default();
        let sequence = outcome.body["sequence"].as_i64().unwrap_or_default();
        // A 202 gives a place in the log only if the log was not lost before the outcome.
        let is_lost = exchange
            .ends
            .iter()
            .any(|(_, end)| matches!(end, End::Gone))
            || evidence
                .wipes
                .iter()
                .any(|(from, to)| *to >= exchange.sent_at && *from <= outcome.at);
        let certain = if is_lost {
            outcome.at
        } else {
            exchange.replied_at
        };
        let span = spans
            .entry(id)
            .or_insert((*product, sequence, exchange.sent_at, certain));
        span.3 = span.3.min(certain);
    }
    // An earlier repeat may have made the hold, whatever its reply was.
    let mut first_sent: HashMap<&str, Instant> = HashMap::new();
    for exchange in evidence.exchanges {
        if let Request::Hold { customer, .. } = &exchange.request {
            let sent = first_sent.entry(customer).or_insert(exchange.sent_at);
            *sent = (*sent).min(exchange.sent_at);
        }
    }
    for (id, span) in &mut spans {
        let customer = evidence
            .tables
            .holds
            .get(*id)
            .and_then(|row| row.customer_id.as_deref())
            .unwrap_or_default();
        span.2 = first_sent.get(customer).copied().unwrap_or(span.2);
    }
    let products: HashSet<i64> = spans.values().map(|span| span.0).collect();
    for product in products {
        of_product(
            product,
            spans
                .values()
                .filter(|span| span.0 == product)
                .copied()
                .collect(),
            findings,
        );
    }
}

fn of_product(product: i64, spans: Vec<(i64, i64, Instant, Instant)>, findings: &mut Findings) {
    let (mut by_start, mut by_end) = (spans.clone(), spans);
    by_start.sort_unstable_by_key(|span| span.2);
    by_end.sort_unstable_by_key(|span| span.3);
    let mut ended = by_end.into_iter().peekable();
    let mut highest = 0;
    for (_, sequence, sent, _) in by_start {
        while let Some((_, earlier, _, _)) = ended.next_if(|span| span.3 < sent) {
            highest = highest.max(earlier);
        }
        findings.check(highest < sequence, "I6: order of holds", || {
            format!("product {product}: sequence {sequence} was requested after sequence {highest} was certain")
        });
    }
}
