//! I4: one idempotency key, one effect and one answer.

use std::collections::HashMap;

use super::{Evidence, Findings};
use crate::record::{Asked, Exchange, Final};

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
        one_answer(key, &exchanges, findings);
        one_original(key, &exchanges, findings);
        reused_with_a_reason(key, &exchanges, findings);
    }
}

/// The outcomes of those whose body was the first.
fn outcomes<'a>(exchanges: &[&'a Exchange]) -> Vec<(&'a Exchange, Final<'a>)> {
    let outcomes = exchanges
        .iter()
        .filter_map(|exchange| Some((*exchange, exchange.outcome()?)));
    outcomes
        .filter(|(_, outcome)| outcome.code() != REUSED)
        .collect()
}

fn one_answer(key: &str, exchanges: &[&Exchange], findings: &mut Findings) {
    let outcomes = outcomes(exchanges);
    for pair in outcomes.windows(2) {
        let [(one, first), (other, second)] = pair else {
            continue;
        };
        findings.check(
            one.asked == other.asked,
            "I4: two bodies under one key",
            || {
                format!(
                    "{key}: {:?} got {}, {:?} got {}",
                    one.asked, first.status, other.asked, second.status
                )
            },
        );
        let is_same = first.status == second.status && first.body == second.body;
        findings.check(is_same, "I4: two answers under one key", || {
            format!(
                "{key}: {} {} and {} {}",
                first.status, first.body, second.status, second.body
            )
        });
    }
    same_bytes(key, &outcomes, findings);
}

/// A webhook's duplicate is told the first answer byte for byte.
fn same_bytes(key: &str, outcomes: &[(&Exchange, Final<'_>)], findings: &mut Findings) {
    let told = |exchange: &Exchange| {
        exchange
            .told
            .as_ref()
            .map(|reply| reply.text.clone())
            .unwrap_or_default()
    };
    let webhooks: Vec<_> = outcomes
        .iter()
        .filter(|(exchange, _)| matches!(exchange.asked, Asked::Pay(_)))
        .collect();
    for pair in webhooks.windows(2) {
        let (one, other) = (told(pair[0].0), told(pair[1].0));
        findings.check(one == other, "I4: a duplicate webhook's answer", || {
            format!("{key}: {one} and {other}")
        });
    }
}

/// At most one of the answers is not a replay. What was polled for doesn't say which it is; nor does an order of an expired
/// hold, which is refused also when no worker has decided so.
fn one_original(key: &str, exchanges: &[&Exchange], findings: &mut Findings) {
    let decided = outcomes(exchanges)
        .into_iter()
        .filter(|(_, outcome)| outcome.code() != EXPIRED);
    let direct = decided.filter(|(exchange, _)| !exchange.is_accepted());
    let originals: Vec<_> = direct
        .filter(|(exchange, _)| exchange.told.as_ref().is_ok_and(|reply| !reply.replayed))
        .collect();
    findings.check(
        originals.len() <= 1,
        "I4: two originals under one key",
        || {
            let told = originals.iter().map(|(exchange, end)| {
                let waited = exchange.answered.saturating_duration_since(exchange.sent);
                format!(
                    "{} {} of ingress {} after {waited:?}",
                    end.status,
                    end.code(),
                    exchange.ingress
                )
            });
            format!(
                "{key}: {:?} was told {}",
                exchanges[0].asked,
                told.collect::<Vec<_>>().join("; ")
            )
        },
    );
}

/// Who is told that the key was used has another body than some other request, which was not refused for that too.
fn reused_with_a_reason(key: &str, exchanges: &[&Exchange], findings: &mut Findings) {
    let is_refused = |exchange: &Exchange| {
        exchange
            .outcome()
            .is_some_and(|outcome| outcome.code() == REUSED)
    };
    for refused in exchanges.iter().filter(|exchange| is_refused(exchange)) {
        let has_reason = exchanges
            .iter()
            .any(|other| other.asked != refused.asked && !is_refused(other));
        findings.check(
            has_reason,
            "I4: refused for a key that was not used",
            || format!("{key}: {:?}", refused.asked),
        );
    }
}
