//! Counts of the outcomes in the random sales. A rule that no sale reaches is not tested, so each outcome must occur.

use std::cell::RefCell;
use std::collections::BTreeMap;

use holdfast_common::domain::Decision;
use holdfast_common::outcome::{Outcome, Refusal, SettlementResult};

/// All outcomes, by [`name`].
const ALL: [&str; 24] = [
    "product created",
    "product changed",
    "hold created",
    "hold released",
    "order created",
    "processed",
    "parked",
    "ignored",
    "reallocated",
    "refund due",
    "mismatch",
    "duplicate",
    "product not found",
    "insufficient stock",
    "sale not open",
    "hold not found",
    "hold consumed",
    "hold expired",
    "hold released before",
    "key reused",
    "product exists",
    "stock limit exceeded",
    "sale window invalid",
    "purchase limit reached",
];
/// The least count of each outcome in one run. The rarest outcome has far more.
const ENOUGH: u32 = 20;

/// Counts by outcome, and by whether the outcome was replayed.
#[derive(Default)]
pub(crate) struct Seen(RefCell<BTreeMap<(&'static str, bool), u32>>);

impl Seen {
    pub(crate) fn record(&self, decision: &Decision) {
        *self
            .0
            .borrow_mut()
            .entry((name(&decision.outcome), decision.replayed))
            .or_default() += 1;
    }

    /// Fails when an outcome was too rare.
    pub(crate) fn check(&self) {
        let seen = self.0.borrow();
        let count = |name| seen.get(&(name, false)).copied().unwrap_or(0);
        let rare: Vec<_> = ALL
            .iter()
            .map(|name| (*name, count(*name)))
            .filter(|(_, n)| *n < ENOUGH)
            .collect();
        assert!(rare.is_empty(), "these outcomes were too rare: {rare:?}");
        let replayed: u32 = seen
            .iter()
            .filter(|((_, replayed), _)| *replayed)
            .map(|(_, count)| count)
            .sum();
        assert!(replayed >= ENOUGH, "only {replayed} outcomes were replayed");
    }
}

fn name(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::ProductCreated(_) => "product created",
        Outcome::ProductChanged(_) => "product changed",
        Outcome::HoldCreated(_) => "hold created",
        Outcome::HoldReleased(_) => "hold released",
        Outcome::OrderCreated(_) => "order created",
        Outcome::PaymentSettled(settlement) => match settlement.result {
            SettlementResult::Processed => "processed",
            SettlementResult::Parked => "parked",
            SettlementResult::Ignored => "ignored",
            SettlementResult::Reallocated => "reallocated",
            SettlementResult::RefundDue => "refund due",
            SettlementResult::Mismatch => "mismatch",
            SettlementResult::Duplicate => "duplicate",
        },
        Outcome::Refused(refusal) => match refusal {
            Refusal::ProductNotFound => "product not found",
            Refusal::InsufficientStock { .. } => "insufficient stock",
            Refusal::SaleNotOpen { .. } => "sale not open",
            Refusal::HoldNotFound => "hold not found",
            Refusal::HoldConsumed => "hold consumed",
            Refusal::HoldExpired => "hold expired",
            Refusal::HoldReleased => "hold released before",
            Refusal::IdempotencyKeyReused => "key reused",
            Refusal::ProductExists => "product exists",
            Refusal::StockLimitExceeded => "stock limit exceeded",
            Refusal::SaleWindowInvalid => "sale window invalid",
            Refusal::PurchaseLimitReached { .. } => "purchase limit reached",
            Refusal::DeadLetterNotFound => unreachable!("no step settles dead letters"),
        },
        Outcome::Failed | Outcome::DeadLetterSettled(_) => unreachable!("no command fails here"),
        Outcome::StockRepaired(_) => unreachable!("counts never drift here"),
        Outcome::Internal => unreachable!("internal commands are not recorded"),
    }
}
