//! A change of state as operators are shown it.

use chrono::SecondsFormat;
use serde_json::{Value, json};

use crate::store::audit::ListedChange;

/// Where the audit goes on behind a change.
#[must_use]
pub fn cursor(last: &ListedChange) -> String {
    format!("{}.{}", last.audit_id, last.entry)
}

/// A change with what was before and after it.
#[must_use]
pub fn document(change: &ListedChange) -> Value {
    let stock = |available: i32, held: i32, sold: i32| {
        let total = i64::from(available) + i64::from(held) + i64::from(sold);
        json!({"total_stock": total, "available_stock": available, "held_stock": held, "sold_stock": sold})
    };
    let has_product = change.product_id != 0;
    let detail = change.detail.as_ref();
    json!({
        "id": cursor(change),
        "at": change.at.to_rfc3339_opts(SecondsFormat::Micros, true),
        "actor": change.actor,
        "what": change.kind,
        "reason": change.reason,
        "product_id": has_product.then_some(change.product_id),
        // An order has the id of the hold that it consumed.
        "hold_id": change.subject,
        "order_id": change.subject.filter(|_| !change.kind.starts_with("hold.")),
        "quantity": change.quantity,
        "before": {
            "state": change.state_before,
            "stock": has_product.then(|| stock(change.available_before, change.held_before, change.sold_before)),
            "product": detail.map(|detail| &detail["before"]),
        },
        "after": {
            "state": change.state_after,
            "stock": has_product.then(|| stock(change.available_after, change.held_after, change.sold_after)),
            "product": detail.map(|detail| &detail["after"]),
        },
        "request_id": change.request_id,
        "sequence": change.sequence,
        "log_seq": change.log_seq,
    })
}
