//! Orders: each 201 has a row, each refusal was right, and paid is final (I3).

use std::collections::{HashMap, HashSet};

use super::holds::stays;
use super::{Evidence, Findings};
use crate::history::{Outcome, Request};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut makers: HashMap<&str, HashSet<(Option<&str>, usize)>> = HashMap::new();
    for (number, exchange) in evidence.exchanges.iter().enumerate() {
        let (Request::Order { hold }, Some(outcome)) = (&exchange.request, exchange.outcome())
        else {
            continue;
        };
        match (outcome.status, outcome.code()) {
            (201, _) => {
                created(hold, &outcome, evidence, findings);
                let key = exchange.key.as_deref();
                // Each request without a key counts on its own.
                makers
                    .entry(hold)
                    .or_default()
                    .insert((key, if key.is_some() { 0 } else { number }));
            }
            (409, "hold_consumed") => stays(hold, "consumed", evidence, findings),
            (409, "hold_released") => stays(hold, "released", evidence, findings),
            (410, _) => stays(hold, "expired", evidence, findings),
            _ => {}
        }
    }
    for (hold, makers) in makers {
        findings.check(makers.len() == 1, "I2: one hold, two orders", || {
            format!("{hold}: {makers:?}")
        });
    }
    rows(evidence, findings);
    paid_stays_paid(evidence, findings);
}

fn created(hold: &str, outcome: &Outcome<'_>, evidence: &Evidence<'_>, findings: &mut Findings) {
    let rule = "I5: an accepted order";
    let body = outcome.body;
    let Some(row) = evidence.tables.orders.get(hold) else {
        return findings.add(rule, format!("{hold} has no row: {body}"));
    };
    let is_equal = body["order_id"] == hold
        && body["hold_id"] == hold
        && body["product_id"] == row.product_id
        && body["quantity"] == row.quantity
        && body["amount_minor"] == row.amount_minor;
    findings.check(is_equal, rule, || format!("reply {body}, row {row:?}"));
}

/// Each order has a consumed hold and a request, and each consumed hold has an order.
fn rows(evidence: &Evidence<'_>, findings: &mut Findings) {
    let request = evidence
        .exchanges
        .iter()
        .filter_map(|exchange| match &exchange.request {
            Request::Order { hold } => Some(hold.as_str()),
            _ => None,
        });
    let request: HashSet<&str> = request.collect();
    for (id, row) in &evidence.tables.orders {
        let hold = evidence.tables.holds.get(id);
        let is_of_hold = hold.is_some_and(|hold| {
            hold.status == "consumed"
                && (hold.product_id, hold.quantity) == (row.product_id, row.quantity)
        });
        findings.check(is_of_hold, "I2: an order's hold", || {
            format!("{row:?} of {hold:?}")
        });
        findings.check(
            request.contains(id.as_str()),
            "I7: an order without a request",
            || format!("{row:?}"),
        );
        findings.check(row.status != "pending_payment", "at rest", || {
            format!("an unpaid order: {row:?}")
        });
    }
    for (id, hold) in &evidence.tables.holds {
        let is_consumed = hold.status == "consumed";
        let has_order = evidence.tables.orders.contains_key(id);
        findings.check(
            is_consumed == has_order,
            "I2: a consumed hold's order",
            || format!("{hold:?}"),
        );
    }
}

/// I3: an order stays paid after a client has received that it is paid.
fn paid_stays_paid(evidence: &Evidence<'_>, findings: &mut Findings) {
    let outcomes = evidence.exchanges.iter().filter_map(|exchange| {
        let outcome = exchange.outcome()?;
        match &exchange.request {
            Request::Order { hold } if outcome.body["status"] == "paid" => Some(hold.clone()),
            Request::Pay(notice) if outcome.body["order_status"] == "paid" => {
                Some(notice.order.clone())
            }
            _ => None,
        }
    });
    let reads = evidence
        .reads
        .iter()
        .filter(|read| read.reply.body["status"] == "paid");
    let reads = reads.filter_map(|read| read.path.strip_prefix("/api/orders/").map(str::to_owned));
    let shown_as_paid: HashSet<String> = outcomes.chain(reads).collect();
    for id in shown_as_paid {
        let row = evidence.tables.orders.get(&id);
        let is_paid = row.is_some_and(|row| row.status == "paid");
        findings.check(is_paid, "I3: paid is final", || {
            format!("{id} was shown as paid and is {row:?}")
        });
    }
}
