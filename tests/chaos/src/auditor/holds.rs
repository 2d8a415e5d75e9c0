//! Holds: each 201 is a row, each row was asked for, and sequences follow the order in which requests were made (I6).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Instant;

use chrono::DateTime;

use super::tables::HoldRow;
use super::{Evidence, Findings};
use crate::record::{Asked, End, Exchange, Final};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut makers: HashMap<&str, (&str, Option<&str>)> = HashMap::new();
    for exchange in evidence.exchanges {
        let Some(outcome) = exchange.outcome() else {
            continue;
        };
        match &exchange.asked {
            Asked::Hold { customer, .. } if outcome.status == 201 => {
                made(exchange, &outcome, evidence, findings);
                let id = outcome.body["hold_id"].as_str().unwrap_or_default();
                let maker = (customer.as_str(), exchange.key.as_deref());
                let first = *makers.entry(id).or_insert(maker);
                findings.check(first == maker, "I4: one hold, two requests", || {
                    format!("{id}: {first:?}, {maker:?}")
                });
            }
            Asked::Hold { quantity, .. } => {
                let available = outcome.body["available_stock"].as_i64();
                findings.check(
                    available.is_none_or(|available| available < *quantity),
                    "refused with stock at hand",
                    || format!("{:?}: {}", exchange.asked, outcome.body),
                );
            }
            Asked::Release { hold } => released(hold, &outcome, evidence, findings),
            _ => {}
        }
    }
    asked_for(evidence, findings);
    statuses_read(evidence, findings);
    gapless(evidence, findings);
    in_order(evidence, findings);
}

/// A 201 is true.
fn made(
    exchange: &Exchange,
    outcome: &Final<'_>,
    evidence: &Evidence<'_>,
    findings: &mut Findings,
) {
    let rule = "I5: a hold that was told";
    let body = outcome.body;
    let id = body["hold_id"].as_str().unwrap_or_default();
    let Some(row) = evidence.tables.holds.get(id) else {
        return findings.add(rule, format!("{id} is not there: {:?}", exchange.asked));
    };
    let expires_at = body["expires_at"]
        .as_str()
        .and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let is_so = body["product_id"] == row.product_id
        && body["quantity"] == row.quantity
        && body["customer_id"].as_str() == row.customer_id.as_deref()
        && body["sequence"] == row.sequence
        && body["status"] == "active"
        && expires_at.is_some_and(|time| time == row.expires_at);
    findings.check(is_so, rule, || format!("{body} is {row:?}"));
}

fn released(hold: &str, outcome: &Final<'_>, evidence: &Evidence<'_>, findings: &mut Findings) {
    let told = match (outcome.status, outcome.code()) {
        (200, _) => "released",
        (409, "hold_consumed") => "consumed",
        (410, _) => "expired",
        _ => return,
    };
    is_now(hold, told, evidence, findings);
}

/// I2: what a client was told of how a hold ended stays so.
pub(super) fn is_now(hold: &str, told: &str, evidence: &Evidence<'_>, findings: &mut Findings) {
    let status = evidence
        .tables
        .holds
        .get(hold)
        .map(|row| row.status.as_str());
    findings.check(status == Some(told), "I2: how a hold ended", || {
        format!("{hold} was told {told} and is {status:?}")
    });
}

/// Each row was asked for, just so; and one request made no two.
fn asked_for(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut asked: HashMap<&str, Vec<&Exchange>> = HashMap::new();
    for exchange in evidence.exchanges {
        if let Asked::Hold { customer, .. } = &exchange.asked {
            asked.entry(customer).or_default().push(exchange);
        }
    }
    let mut rows: HashMap<&str, Vec<&HoldRow>> = HashMap::new();
    for row in evidence.tables.holds.values() {
        rows.entry(row.customer_id.as_deref().unwrap_or_default())
            .or_default()
            .push(row);
    }
    for (customer, rows) in &rows {
        // A customer's requests are one request and its repeats under one key.
        findings.check(rows.len() == 1, "I4: one request, two holds", || {
            format!("{customer}: {rows:?}")
        });
        for row in rows {
            let of_row = |exchange: &&&Exchange| {
                matches!(&exchange.asked, Asked::Hold { product, quantity, .. }
                    if (*product, *quantity) == (row.product_id, row.quantity))
            };
            let requests: Vec<_> = asked
                .get(customer)
                .into_iter()
                .flatten()
                .filter(of_row)
                .collect();
            findings.check(
                !requests.is_empty(),
                "I7: a hold that nobody asked for",
                || format!("{row:?}"),
            );
            let refused = requests
                .iter()
                .find(|exchange| exchange.outcome().is_some_and(|end| end.status != 201));
            findings.check(refused.is_none(), "I5: refused, but done", || {
                format!("{refused:?}: {row:?}")
            });
        }
    }
}

/// A hold that was seen ended does not come back.
fn statuses_read(evidence: &Evidence<'_>, findings: &mut Findings) {
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
            is_now(id, status, evidence, findings);
        }
    }
}

/// A product's sequences are 1, 2, 3 and so on.
fn gapless(evidence: &Evidence<'_>, findings: &mut Findings) {
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

/// I6: a hold that was answered, or accepted, before another was asked for has the lower sequence.
fn in_order(evidence: &Evidence<'_>, findings: &mut Findings) {
    // Of a hold and its repeats: since when it can be, and since when it is certain.
    let mut spans: HashMap<&str, (i64, i64, Instant, Instant)> = HashMap::new();
    for exchange in evidence.exchanges {
        let (Asked::Hold { product, .. }, Some(outcome)) = (&exchange.asked, exchange.outcome())
        else {
            continue;
        };
        if outcome.status != 201 {
            continue;
        }
        let id = outcome.body["hold_id"].as_str().unwrap_or_default();
        let sequence = outcome.body["sequence"].as_i64().unwrap_or_default();
        // Only while nothing was lost does a place in the log count.
        let is_lost = exchange
            .ends
            .iter()
            .any(|(_, end)| matches!(end, End::Gone))
            || evidence
                .wipes
                .iter()
                .any(|(from, to)| *to >= exchange.sent && *from <= outcome.at);
        let certain = if is_lost {
            outcome.at
        } else {
            exchange.answered
        };
        let span = spans
            .entry(id)
            .or_insert((*product, sequence, exchange.sent, certain));
        span.3 = span.3.min(certain);
    }
    // Repeats that were sent before may have made it, whatever they were told.
    let mut first_sent: HashMap<&str, Instant> = HashMap::new();
    for exchange in evidence.exchanges {
        if let Asked::Hold { customer, .. } = &exchange.asked {
            let sent = first_sent.entry(customer).or_insert(exchange.sent);
            *sent = (*sent).min(exchange.sent);
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
            format!("product {product}: sequence {sequence} was asked for after sequence {highest} was certain")
        });
    }
}
