//! The log: every command was applied, in log order (I6), and none became a dead letter.

use std::collections::{HashMap, HashSet};

use super::{Evidence, Findings};
use crate::history::Request;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for letter in &evidence.tables.dead_letters {
        findings.add("a dead letter", format!("{letter:?}"));
    }
    for fall in &evidence.tables.falls {
        findings.add("I6: a partition went back", format!("{fall:?}"));
    }
    commands_have_outcomes(evidence, findings);
    holds_follow_the_log(evidence, findings);
}

/// Every client's command has an outcome. The row of a hold is its outcome.
fn commands_have_outcomes(evidence: &Evidence<'_>, findings: &mut Findings) {
    for logged in evidence.log.iter().filter(|logged| logged.has_outcome) {
        let id = &logged.request_id;
        let has_outcome =
            evidence.tables.outcomes.contains(id) || evidence.tables.holds.contains_key(id);
        findings.check(
            has_outcome,
            "I6: a command of the log without an outcome",
            || format!("{logged:?}"),
        );
    }
}

/// The sequences of a product's holds follow the order of the log.
fn holds_follow_the_log(evidence: &Evidence<'_>, findings: &mut Findings) {
    let late = late_customers(evidence);
    let (mut seen, mut last) = (HashSet::new(), HashMap::new());
    for logged in evidence.log {
        let (Some((product, customer)), true) = (&logged.hold, seen.insert(&logged.request_id))
        else {
            continue;
        };
        let Some(row) = evidence.tables.holds.get(&logged.request_id) else {
            continue;
        };
        if !late.contains(customer.as_str()) {
            continue;
        }
        let (before, of) = last
            .insert(product, (row.sequence, logged.log_seq))
            .unwrap_or_default();
        findings.check(before < row.sequence, "I6: order of the log", || {
            format!(
                "product {product}: sequence {} at {} follows {before} at {of}",
                row.sequence, logged.log_seq
            )
        });
    }
}

/// The customers whose first request was sent after the last loss of NATS' store, so only this log can have it. Earlier
/// requests may have been applied from the lost log, and be in this log as repeats.
fn late_customers<'a>(evidence: &Evidence<'a>) -> HashSet<&'a str> {
    let lost = evidence.wipes.iter().map(|(_, back)| *back).max();
    let (mut early, mut late) = (HashSet::new(), HashSet::new());
    for exchange in evidence.exchanges {
        let Request::Hold { customer, .. } = &exchange.request else {
            continue;
        };
        let is_late = lost.is_none_or(|lost| exchange.sent_at > lost);
        if is_late {
            late.insert(customer.as_str())
        } else {
            early.insert(customer.as_str())
        };
    }
    late.difference(&early).copied().collect()
}
