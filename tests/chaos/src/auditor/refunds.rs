//! Refunds: each due refund was requested from the shop, with one id and one body, and no other refund was.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::{Evidence, Findings};

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut by_id: HashMap<&str, &str> = HashMap::new();
    let mut ids: HashMap<(String, String), &str> = HashMap::new();
    let mut accepted: HashSet<(String, String)> = HashSet::new();
    for request in evidence.refunds {
        let body: Value = serde_json::from_str(&request.body).unwrap_or_default();
        let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
        let payment = (text("order_id"), text("payment_id"));
        findings.check(
            !request.id.is_empty() && text("refund_id") == request.id,
            "id of a refund",
            || format!("{request:?}"),
        );
        let first = *by_id.entry(&request.id).or_insert(&request.body);
        findings.check(first == request.body, "repeats of a refund differ", || {
            format!("{first} and {}", request.body)
        });
        let id = *ids.entry(payment.clone()).or_insert(&request.id);
        findings.check(id == request.id, "one payment, two refunds", || {
            format!("{payment:?}: {id} and {}", request.id)
        });
        let row = evidence.tables.payments.get(&payment);
        let is_owed = row.is_some_and(|row| row.succeeded && row.state.starts_with("refund"));
        findings.check(is_owed, "a refund that is not due", || {
            format!("{request:?}: {row:?}")
        });
        if request.is_accepted {
            accepted.insert(payment);
        }
    }
    for (payment, row) in &evidence.tables.payments {
        if row.state == "refund_requested" {
            findings.check(
                accepted.contains(payment),
                "a refund that was not requested",
                || format!("{row:?}"),
            );
        }
        findings.check(row.state != "refund_due", "at rest", || {
            format!("a due refund: {row:?}")
        });
    }
}
