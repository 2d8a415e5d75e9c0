//! The auditor: compares what every client was told with the tables at rest.
//!
//! It shares no code with the decision. From requests, answers and rows alone it works out what must be true, and says
//! what is not. Whatever has no answer, or a 503, may have happened or not; then the rows decide, and only have to fit.

mod holds;
mod keys;
mod log;
mod orders;
pub mod ownership;
mod payments;
pub mod positions;
mod refunds;
mod requests;
mod stock;
pub mod tables;

use std::collections::BTreeMap;
use std::time::Instant;

use self::tables::Tables;
use crate::log::Logged;
use crate::record::{Exchange, Read};
use crate::refunds::RefundRequest;

/// So many findings of a rule are told in full.
const TOLD_OF_A_RULE_MAX: usize = 4;

/// All that is known at the end of a run.
#[derive(Debug)]
pub struct Evidence<'a> {
    /// When the run began.
    pub begun: Instant,
    /// What was asked and told.
    pub exchanges: &'a [Exchange],
    /// What was looked at.
    pub reads: &'a [Read],
    /// The log at rest.
    pub log: &'a [Logged],
    /// The tables at rest.
    pub tables: &'a Tables,
    /// What the shop was asked to refund.
    pub refunds: &'a [RefundRequest],
    /// When NATS lost its store.
    pub wipes: &'a [(Instant, Instant)],
    /// What each product had at first.
    pub products: &'a [(i64, i64)],
}

impl Evidence<'_> {
    /// A time in seconds since the run began, as in the list of faults.
    fn at(&self, time: Instant) -> f64 {
        time.saturating_duration_since(self.begun).as_secs_f64()
    }
}

/// What is not as it should be, by the rule that it breaks.
#[derive(Debug, Default)]
pub struct Findings {
    by_rule: BTreeMap<&'static str, Vec<String>>,
}

impl Findings {
    /// Adds one.
    pub fn add(&mut self, rule: &'static str, what: String) {
        self.by_rule.entry(rule).or_default().push(what);
    }

    /// Adds one, unless it is as it should be.
    pub fn check(&mut self, is_so: bool, rule: &'static str, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.add(rule, otherwise());
        }
    }

    /// As readable lines.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (rule, found) in &self.by_rule {
            lines.extend(
                found
                    .iter()
                    .take(TOLD_OF_A_RULE_MAX)
                    .map(|what| format!("{rule}: {what}")),
            );
            if found.len() > TOLD_OF_A_RULE_MAX {
                lines.push(format!(
                    "{rule}: and {} more",
                    found.len() - TOLD_OF_A_RULE_MAX
                ));
            }
        }
        lines
    }
}

/// Looks through everything.
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
