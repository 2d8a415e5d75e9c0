//! The auditor: compares the replies that clients received with the tables at rest.
//!
//! It shares no code with the decision. From requests, replies and rows alone it derives what must be true. A request
//! without a reply, or with a 503, may have an effect or not; then the rows only have to be consistent.

mod holds;
mod keys;
mod log;
mod orders;
pub mod partitions;
mod payments;
mod refunds;
mod requests;
mod stock;
pub mod tables;

use std::collections::BTreeMap;
use std::time::Instant;

use self::tables::Tables;
use crate::history::{Exchange, Read};
use crate::log::LogCommand;
use crate::refunds::RefundRequest;

/// Findings of one rule that are printed in full.
const PRINTED_PER_RULE_MAX: usize = 4;

/// The data that the auditor compares.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// The start of the run.
    pub begun: Instant,
    pub exchanges: &'a [Exchange],
    pub reads: &'a [Read],
    /// The log at rest.
    pub log: &'a [LogCommand],
    /// The tables at rest.
    pub tables: &'a Tables,
    /// The refund requests that the shop received.
    pub refunds: &'a [RefundRequest],
    /// The times in which NATS lost its store: from its stop to its start.
    pub wipes: &'a [(Instant, Instant)],
    /// The id and the initial stock of each product.
    pub products: &'a [(i64, i64)],
}

impl Evidence<'_> {
    /// A time in seconds since the start of the run, as in the timeline.
    fn at(&self, time: Instant) -> f64 {
        time.saturating_duration_since(self.begun).as_secs_f64()
    }
}

/// The violations that the auditor found, by rule.
#[derive(Debug, Default)]
pub struct Findings {
    by_rule: BTreeMap<&'static str, Vec<String>>,
}

impl Findings {
    pub fn add(&mut self, rule: &'static str, details: String) {
        self.by_rule.entry(rule).or_default().push(details);
    }

    /// Adds a finding when the rule does not hold.
    pub fn check(&mut self, holds: bool, rule: &'static str, details: impl FnOnce() -> String) {
        if !holds {
            self.add(rule, details());
        }
    }

    /// The findings as lines of text.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (rule, found) in &self.by_rule {
            lines.extend(
                found
                    .iter()
                    .take(PRINTED_PER_RULE_MAX)
                    .map(|details| format!("{rule}: {details}")),
            );
            if found.len() > PRINTED_PER_RULE_MAX {
                lines.push(format!(
                    "{rule}: and {} more",
                    found.len() - PRINTED_PER_RULE_MAX
                ));
            }
        }
        lines
    }
}

/// Checks all rules.
#[must_use]
pub fn audit(evidence: &Evidence<'_>) -> Findings {
    let mut findings = Findings::default();
    requests::check(evidence, &mut findings);
    keys::check(evidence, &mut findings);
    holds::check(evidence, &mut findings);
    orders::check(evidence, &mut findings);
    payments::check(evidence, &mut findings);
    refunds::check(evidence, &mut findings);
    stock::check(evidence, &mut findings);
    log::check(evidence, &mut findings);
    findings
}

#[cfg(test)]
mod tests;
