//! Orders: each 201 is a row, each refusal was right, paid is final (I3).

use std::collections::{HashMap, HashSet};

use super::holds::is_now;
use super::{Evidence, Findings};
use crate::record::{Asked, Final};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut makers: HashMap<&str, HashSet<(Option<&str>, usize)>> = HashMap::new();
    for (number, exchange) in evidence.exchanges.iter().enumerate() {
        let (Asked::Order { hold }, Some(outcome)) = (&exchange.asked, exchange.outcome()) else {
            continue;
        };
        match (outcome.status, outcome.code()) {
            (201, _) => {
                made(hold, &outcome, evidence, findings);
                let key = exchange.key.as_deref();
                // Requests without a key are each for themselves.
                makers
                    .entry(hold)
                    .or_default()
                    .insert((key, if key.is_some() { 0 } else { number }));
            }
            (409, "hold_consumed") => is_now(hold, "consumed", evidence, findings),
            (409, "hold_released") => is_now(hold, "released", evidence, findings),
            (410, _) => is_now(hold, "expired", evidence, findings),
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

fn made(hold: &str, outcome: &Final<'_>, evidence: &Evidence<'_>, findings: &mut Findings) {
    let rule = "I5: an order that was told";
    let body = outcome.body;
    let Some(row) = evidence.tables.orders.get(hold) else {
        return findings.add(rule, format!("{hold} is not there: {body}"));
    };
    let is_so = body["order_id"] == hold
        && body["hold_id"] == hold
        && body["product_id"] == row.product_id
        && body["quantity"] == row.quantity
        && body["amount_minor"] == row.amount_minor;
    findings.check(is_so, rule, || format!("{body} is {row:?}"));
}

/// Orders and consumed holds are the same, and none was made of nothing.
fn rows(evidence: &Evidence<'_>, findings: &mut Findings) {
    let asked = evidence
        .exchanges
        .iter()
        .filter_map(|exchange| match &exchange.asked {
            Asked::Order { hold } => Some(hold.as_str()),
            _ => None,
        });
    let asked: HashSet<&str> = asked.collect();
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
            asked.contains(id.as_str()),
            "I7: an order that nobody asked for",
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

/// I3: whoever was told that an order is paid finds it paid.
fn paid_stays_paid(evidence: &Evidence<'_>, findings: &mut Findings) {
    let answers = evidence.exchanges.iter().filter_map(|exchange| {
        let outcome = exchange.outcome()?;
        match &exchange.asked {
            Asked::Order { hold } if outcome.body["status"] == "paid" => Some(hold.clone()),
            Asked::Pay(notice) if outcome.body["order_status"] == "paid" => {
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
    let told: HashSet<String> = answers.chain(reads).collect();
    for id in told {
        let row = evidence.tables.orders.get(&id);
        let is_paid = row.is_some_and(|row| row.status == "paid");
        findings.check(is_paid, "I3: paid is final", || {
            format!("{id} was told paid and is {row:?}")
        });
    }
}
