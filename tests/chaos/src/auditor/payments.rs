//! Payments: no accepted payment is lost (I8), and each has the effect that its reply states.

use std::collections::{HashMap, HashSet};

use super::tables::PaymentRow;
use super::{Evidence, Findings};
use crate::history::{PaymentNotice, Request};

const REFUNDS: [&str; 3] = ["refund_due", "refund_requested", "refunded"];

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut notices: HashMap<(&str, &str), Vec<&PaymentNotice>> = HashMap::new();
    for exchange in evidence.exchanges {
        let Request::Pay(notice) = &exchange.request else {
            continue;
        };
        notices
            .entry((&notice.order, &notice.payment))
            .or_default()
            .push(notice);
        let Some(outcome) = exchange.outcome().filter(|outcome| outcome.status < 300) else {
            continue;
        };
        result_is_true(
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
        let has_webhook = notices
            .iter()
            .any(|notice| notice.succeeded == row.succeeded);
        findings.check(has_webhook, "I7: a payment without a webhook", || {
            format!("{row:?}")
        });
        if row.succeeded {
            succeeded(row, evidence, findings);
        }
    }
    orders(evidence, findings);
    parked_then_ordered(evidence, findings);
}

/// The row of a payment matches the result in the reply to its webhook.
fn result_is_true(
    notice: &PaymentNotice,
    result: &str,
    evidence: &Evidence<'_>,
    findings: &mut Findings,
) {
    let row = evidence
        .tables
        .payments
        .get(&(notice.order.clone(), notice.payment.clone()));
    let Some(row) = row else {
        return findings.add(
            "I8: an accepted payment",
            format!("{result}, but there is no row: {notice:?}"),
        );
    };
    findings.check(
        row.succeeded || !notice.succeeded,
        "I8: an accepted success",
        || format!("{result}, but the row is {row:?}: {notice:?}"),
    );
    if !notice.succeeded {
        return;
    }
    let order = evidence.tables.orders.get(&notice.order);
    let is_payer = order.is_some_and(|order| order.payment_id.as_ref() == Some(&notice.payment));
    let is_refund = REFUNDS.contains(&row.state.as_str());
    let is_true = match result {
        "processed" | "reallocated" => is_payer && row.state == "applied",
        "refund_due" => is_refund,
        "mismatch" => is_refund && row.refund_reason.as_deref() == Some("mismatch"),
        "parked" | "duplicate" => true,
        // Only a failure can be ignored.
        _ => false,
    };
    findings.check(is_true, "I5: a payment's result", || {
        format!("{notice:?} got {result}, the row is {row:?} of {order:?}")
    });
}

/// A successful payment has paid its order or is refunded. None is parked, because every hold has ended.
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
    findings.check(fits, "I8: neither applied nor refunded", || {
        format!("{row:?} of {order:?}")
    });
    if let (Some(order), Some(amount)) = (order, row.amount_minor) {
        let is_right = amount == order.amount_minor;
        let is_mismatch = row.refund_reason.as_deref() == Some("mismatch");
        findings.check(
            is_right != is_mismatch,
            "a payment of a wrong amount",
            || format!("{row:?} of {order:?}"),
        );
    }
}

/// A paid order has one applied payment; an order's refund status is that of its payments.
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
        findings.check(payers == expected, "I3: payment of a paid order", || {
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
            "refund status of an order",
            || format!("{order:?}: {payments:?}"),
        );
    }
}

/// A parked payment is applied together with the order, so the response that creates the order shows it as paid.
fn parked_then_ordered(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut parked: HashSet<&str> = HashSet::new();
    let mut disputed: HashSet<&str> = HashSet::new();
    for exchange in evidence.exchanges {
        let Request::Pay(notice) = &exchange.request else {
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
        let (Request::Order { hold }, Some(outcome)) = (&exchange.request, exchange.outcome())
        else {
            continue;
        };
        if outcome.status == 201
            && parked.contains(hold.as_str())
            && !disputed.contains(hold.as_str())
        {
            findings.check(
                outcome.body["status"] == "paid",
                "an order with a parked payment",
                || format!("{hold}: {}", outcome.body),
            );
        }
    }
}
