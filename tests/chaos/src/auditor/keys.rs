//! I4: one idempotency key has one effect and one outcome.

use std::collections::HashMap;

use super::{Evidence, Findings};
use crate::history::{Exchange, Outcome, Request};

const EXPIRED: &str = "hold_expired";
const REUSED: &str = "idempotency_key_reused";

pub(super) fn check(evidence: &Evidence<'_>, findings: &mut Findings) {
    let mut by_key: HashMap<&str, Vec<&Exchange>> = HashMap::new();
    for exchange in evidence.exchanges {
        if let Some(key) = &exchange.key {
            by_key.entry(key).or_default().push(exchange);
        }
    }
    for (key, exchanges) in by_key {
        one_outcome(key, &exchanges, findings);
        one_original(key, &exchanges, findings);
        reused_with_a_reason(key, &exchanges, findings);
    }
}

/// The outcomes of the requests that were not refused as a reuse of the key.
fn outcomes<'a>(exchanges: &[&'a Exchange]) -> Vec<(&'a Exchange, Outcome<'a>)> {
    let outcomes = exchanges
        .iter()
        .filter_map(|exchange| Some((*exchange, exchange.outcome()?)));
    outcomes
        .filter(|(_, outcome)| outcome.code() != REUSED)
        .collect()
}

fn one_outcome(key: &str, exchanges: &[&Exchange], findings: &mut Findings) {
    let outcomes = outcomes(exchanges);
    for pair in outcomes.windows(2) {
        let [(one, first), (other, second)] = pair else {
            continue;
        };
        findings.check(
            one.request == other.request,
            "I4: two bodies under one key",
            || {
                format!(
                    "{key}: {:?} got {}, {:?} got {}",
                    one.request, first.status, other.request, second.status
                )
            },
        );
        let is_same = first.status == second.status && first.body == second.body;
        findings.check(is_same, "I4: two outcomes under one key", || {
            format!(
                "{key}: {} {} and {} {}",
                first.status, first.body, second.status, second.body
            )
        });
    }
    same_bytes(key, &outcomes, findings);
}

/// A repeated webhook gets the first reply byte for byte.
fn same_bytes(key: &str, outcomes: &[(&Exchange, Outcome<'_>)], findings: &mut Findings) {
    let text = |exchange: &Exchange| {
        exchange
            .reply
            .as_ref()
            .map(|reply| reply.text.clone())
            .unwrap_or_default()
    };
    let webhooks: Vec<_> = outcomes
        .iter()
        .filter(|(exchange, _)| matches!(exchange.request, Request::Pay(_)))
        .collect();
    for pair in webhooks.windows(2) {
        let (one, other) = (text(pair[0].0), text(pair[1].0));
        findings.check(one == other, "I4: reply to a repeated webhook", || {
            format!("{key}: {one} and {other}")
        });
    }
}

/// At most one of the replies is not a replay. Left out are polled outcomes, which do not show a replay, and orders of
/// expired holds, which an ingress also refuses without a worker.
fn one_original(key: &str, exchanges: &[&Exchange], findings: &mut Findings) {
    let decided = outcomes(exchanges)
        .into_iter()
        .filter(|(_, outcome)| outcome.code() != EXPIRED);
    let direct = decided.filter(|(exchange, _)| !exchange.is_accepted());
    let originals: Vec<_> = direct
        .filter(|(exchange, _)| exchange.reply.as_ref().is_ok_and(|reply| !reply.replayed))
        .collect();
    findings.check(
        originals.len() <= 1,
        "I4: two originals under one key",
        || {
            let replies = originals.iter().map(|(exchange, end)| {
                let waited = exchange
                    .replied_at
                    .saturating_duration_since(exchange.sent_at);
                format!(
                    "{} {} of ingress {} after {waited:?}",
                    end.status,
                    end.code(),
                    exchange.ingress
                )
            });
            format!(
                "{key}: {:?} got {}",
                exchanges[0].request,
                replies.collect::<Vec<_>>().join("; ")
            )
        },
    );
}

/// A request refused as a reuse of its key has another body than a request under this key that was not refused so.
fn reused_with_a_reason(key: &str, exchanges: &[&Exchange], findings: &mut Findings) {
    let is_refused = |exchange: &Exchange| {
        exchange
            .outcome()
            .is_some_and(|outcome| outcome.code() == REUSED)
    };
    for refused in exchanges.iter().filter(|exchange| is_refused(exchange)) {
        let has_reason = exchanges
            .iter()
            .any(|other| other.request != refused.request && !is_refused(other));
        findings.check(has_reason, "I4: refused as reuse of an unused key", || {
            format!("{key}: {:?}", refused.request)
        });
    }
}
