//! Payments: none that was answered is lost (I8), and each did what its answer says.

use std::collections::{HashMap, HashSet};

use super::tables::PaymentRow;
use super::{Evidence, Findings};
use crate::record::{Asked, Notice};

const REFUNDS: [&str; 3] = ["refund_due", "refund_requested", "refunded"];

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut notices: HashMap<(&str, &str), Vec<&Notice>> = HashMap::new();
    for exchange in evidence.exchanges {
        let Asked::Pay(notice) = &exchange.asked else {
            continue;
        };
        notices
            .entry((&notice.order, &notice.payment))
            .or_default()
            .push(notice);
        let Some(outcome) = exchange.outcome().filter(|outcome| outcome.status < 300) else {
            continue;
        };
        told(
            notice,
            outcome.body["result"].as_str().unwrap_or_default(),
            evidence,
            findings,
        );
    }
    for ((order, payment), row) in &evidence.tables.payments {
        let notices = notices
            .get(&(order.as_str(), payment.as_str()))
            .map(Vec::as_slice)
            .unwrap_or_default();
        let was_told = notices
            .iter()
            .any(|notice| notice.succeeded == row.succeeded);
        findings.check(was_told, "I7: a payment that nobody told of", || {
            format!("{row:?}")
        });
        if row.succeeded {
            succeeded(row, evidence, findings);
        }
    }
    orders(evidence, findings);
    parked_then_ordered(evidence, findings);
}

/// A webhook's answer is true.
fn told(notice: &Notice, result: &str, evidence: &Evidence<'_>, findings: &mut Findings) {
    let row = evidence
        .tables
        .payments
        .get(&(notice.order.clone(), notice.payment.clone()));
    let Some(row) = row else {
        return findings.add(
            "I8: a payment that was answered",
            format!("{result}, and is not there: {notice:?}"),
        );
    };
    findings.check(
        row.succeeded || !notice.succeeded,
        "I8: a success that was answered",
        || format!("{result}, and is {row:?}: {notice:?}"),
    );
    if !notice.succeeded {
        return;
    }
    let order = evidence.tables.orders.get(&notice.order);
    let is_payer = order.is_some_and(|order| order.payment_id.as_ref() == Some(&notice.payment));
    let is_refund = REFUNDS.contains(&row.state.as_str());
    let is_so = match result {
        "processed" | "reallocated" => is_payer && row.state == "applied",
        "refund_due" => is_refund,
        "mismatch" => is_refund && row.refund_reason.as_deref() == Some("mismatch"),
        "parked" | "duplicate" => true,
        // Only a failure can be ignored.
        _ => false,
    };
    findings.check(is_so, "I5: a payment's result", || {
        format!("{notice:?} was told {result} and is {row:?} of {order:?}")
    });
}

/// A payment that succeeded paid its order, or its money goes back. None waits, since every hold has ended.
fn succeeded(row: &PaymentRow, evidence: &Evidence<'_>, findings: &mut Findings) {
    let order = evidence.tables.orders.get(&row.order_id);
    let is_payer = order.is_some_and(|order| {
        order.status == "paid" && order.payment_id.as_ref() == Some(&row.payment_id)
    });
    let is_refund = REFUNDS.contains(&row.state.as_str());
    let fits = match row.state.as_str() {
        "applied" => is_payer,
        "parked" | "unmatched" => !evidence.tables.holds.contains_key(&row.order_id),
        _ => is_refund && !is_payer,
    };
    findings.check(fits, "I8: where a payment's money is", || {
        format!("{row:?} of {order:?}")
    });
    if let (Some(order), Some(amount)) = (order, row.amount_minor) {
        let is_right = amount == order.amount_minor;
        let is_mismatch = row.refund_reason.as_deref() == Some("mismatch");
        findings.check(
            is_right != is_mismatch,
            "a payment of another amount",
            || format!("{row:?} of {order:?}"),
        );
    }
}

/// A paid order has its payment; an order's refunds are those of its payments.
fn orders(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut by_order: HashMap<&str, Vec<&PaymentRow>> = HashMap::new();
    for row in evidence.tables.payments.values() {
        by_order.entry(&row.order_id).or_default().push(row);
    }
    for (id, order) in &evidence.tables.orders {
        let payments = by_order
            .get(id.as_str())
            .map(Vec::as_slice)
            .unwrap_or_default();
        let payers = payments
            .iter()
            .filter(|row| row.succeeded && row.state == "applied")
            .count();
        let expected = usize::from(order.status == "paid");
        findings.check(payers == expected, "I3: who paid an order", || {
            format!("{order:?}: {payments:?}")
        });
        let state = |name: &str| payments.iter().any(|row| row.state == name);
        let refund_status = match (
            state("refund_due"),
            state("refund_requested"),
            state("refunded"),
        ) {
            (true, _, _) => "due",
            (_, true, _) => "requested",
            (_, _, true) => "refunded",
            _ => "none",
        };
        findings.check(
            order.refund_status == refund_status,
            "an order's refund",
            || format!("{order:?}: {payments:?}"),
        );
    }
}

/// A payment that waits for its order is applied in the step that makes the order, whose own response shows it.
fn parked_then_ordered(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut parked: HashSet<&str> = HashSet::new();
    let mut disputed: HashSet<&str> = HashSet::new();
    for exchange in evidence.exchanges {
        let Asked::Pay(notice) = &exchange.asked else {
            continue;
        };
        if !notice.succeeded || notice.amount_minor.is_some() {
            disputed.insert(&notice.order);
        } else if exchange
            .outcome()
            .is_some_and(|outcome| outcome.body["result"] == "parked")
        {
            parked.insert(&notice.order);
        }
    }
    for exchange in evidence.exchanges {
        let (Asked::Order { hold }, Some(outcome)) = (&exchange.asked, exchange.outcome()) else {
            continue;
        };
        if outcome.status == 201
            && parked.contains(hold.as_str())
            && !disputed.contains(hold.as_str())
        {
            findings.check(
                outcome.body["status"] == "paid",
                "an order of a payment that waited",
                || format!("{hold}: {}", outcome.body),
            );
        }
    }
}
