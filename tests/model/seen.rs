//! Which answers the random sales met: a comparison that never comes to a rule proves nothing about it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use holdfast_common::domain::Decision;
use holdfast_common::outcome::{Outcome, Refusal, SettlementResult};

/// Every answer there is, as [`name`] calls it.
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
/// How often a run has to meet each; the rarest comes far more often.
const ENOUGH: u32 = 20;

/// How often each answer was given anew, and replayed.
#[derive(Default)]
pub(crate) struct Seen(RefCell<BTreeMap<(&'static str, bool), u32>>);

impl Seen {
    pub(crate) fn note(&self, decision: &Decision) {
        *self
            .0
            .borrow_mut()
            .entry((name(&decision.outcome), decision.replayed))
            .or_default() += 1;
    }

    /// Fails when a run hardly met an answer.
    pub(crate) fn check(&self) {
        let seen = self.0.borrow();
        let count = |answer| seen.get(&(answer, false)).copied().unwrap_or(0);
        let rare: Vec<_> = ALL
            .iter()
            .map(|answer| (*answer, count(*answer)))
            .filter(|(_, n)| *n < ENOUGH)
            .collect();
        assert!(rare.is_empty(), "the random sales hardly met {rare:?}");
        let replayed: u32 = seen
            .iter()
            .filter(|((_, replayed), _)| *replayed)
            .map(|(_, count)| count)
            .sum();
        assert!(
            replayed >= ENOUGH,
            "the random sales replayed {replayed} answers"
        );
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
            Refusal::DeadLetterNotFound => unreachable!("nobody asks for one"),
        },
        Outcome::Failed | Outcome::DeadLetterSettled(_) => unreachable!("no command fails here"),
        Outcome::StockRepaired(_) => unreachable!("counts never drift here"),
        Outcome::Internal => "internal",
    }
}
