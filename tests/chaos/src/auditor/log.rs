//! The log: all of it was applied, in its order (I6), and none of it was set aside.

use std::collections::{HashMap, HashSet};

use super::{Evidence, Findings};
use crate::record::Asked;

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    for letter in &evidence.tables.dead_letters {
        findings.add("a dead letter", format!("{letter:?}"));
    }
    for fall in &evidence.tables.falls {
        findings.add("I6: a partition went back", format!("{fall:?}"));
    }
    applied(evidence, findings);
    in_order(evidence, findings);
}

/// No position passed a command without its effects. A hold's row is its outcome.
fn applied(evidence: &Evidence<'_>, findings: &mut Findings) {
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

/// The holds of a product took effect in the order in which they first stand in the log.
fn in_order(evidence: &Evidence<'_>, findings: &mut Findings) {
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
                "product {product}: sequence {} at {}, behind {before} at {of}",
                row.sequence, logged.log_seq
            )
        });
    }
}

/// Those whose first request was sent when NATS had lost its store for the last time: only this log can have it. What was
/// sent before may have been applied from the log that was lost, and stand in this one as a repeat.
fn late_customers<'a>(evidence: &Evidence<'a>) -> HashSet<&'a str> {
    let lost = evidence.wipes.iter().map(|(_, back)| *back).max();
    let (mut early, mut late) = (HashSet::new(), HashSet::new());
    for exchange in evidence.exchanges {
        let Asked::Hold { customer, .. } = &exchange.asked else {
            continue;
        };
        let is_late = lost.is_none_or(|lost| exchange.sent > lost);
        if is_late {
            late.insert(customer.as_str())
        } else {
            early.insert(customer.as_str())
        };
    }
    late.difference(&early).copied().collect()
}
