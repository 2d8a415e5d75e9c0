//! What a run amounts to, in numbers and in findings.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::Kind;
use crate::record::{Asked, End, Exchange};

/// A run's result.
#[derive(Debug, Default)]
pub struct Report {
    /// The seed that everything was drawn from.
    pub seed: u64,
    /// How many operations clients did.
    pub operations: usize,
    /// Requests that had an effect and were told so at once.
    pub done: usize,
    /// Requests that were accepted, to be asked for later.
    pub accepted: usize,
    /// Of those, how many ended in a 404 because NATS lost its store.
    pub wiped: usize,
    /// Of those, how many repeated one that was accepted already, and were given a request of their own all the same.
    pub split: usize,
    /// Requests that were refused.
    pub refused: usize,
    /// Requests that were told to come again.
    pub unavailable: usize,
    /// Requests without an answer.
    pub unknown: usize,
    /// Faults that were done, by kind.
    pub faults: BTreeMap<String, usize>,
    /// How often a process ended before it had begun its work, and was started again.
    pub false_starts: usize,
    /// The longest time without an effect that a client was told of at once.
    pub longest_pause: Duration,
    /// When that began, since the clients did.
    pub pause_at: Duration,
    /// The longest time that an answer took.
    pub longest_answer: Duration,
    /// From the end of the faults until all was at rest.
    pub to_rest: Duration,
    /// Holds, orders, paid orders, payments and refund requests at the end.
    pub rows: [usize; 5],
    /// How many answers of each kind there were.
    pub kinds: BTreeMap<String, usize>,
    /// What is not as it should be.
    pub findings: Vec<String>,
    /// What was done to the cluster, when.
    pub timeline: Vec<(Duration, String)>,
}

impl Report {
    /// Counts a fault.
    pub fn count_fault(&mut self, kind: Kind) {
        use clap::ValueEnum;
        let name = kind
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        *self.faults.entry(name).or_default() += 1;
    }

    /// Counts what was told, between the begin and the end of operations.
    pub fn count(&mut self, exchanges: &[Exchange], begin: Instant, end: Instant) {
        let mut effects = vec![begin, end];
        for exchange in exchanges {
            self.longest_answer = self.longest_answer.max(exchange.answered - exchange.sent);
            match &exchange.told {
                Err(_) => self.unknown += 1,
                Ok(_) if exchange.is_accepted() => {
                    self.accepted += 1;
                    self.wiped += usize::from(matches!(exchange.ends.last(), Some((_, End::Gone))));
                }
                Ok(reply) if reply.status < 300 => {
                    self.done += 1;
                    effects.push(exchange.answered.min(end));
                }
                Ok(reply) if reply.status < 500 => self.refused += 1,
                Ok(_) => self.unavailable += 1,
            }
        }
        self.split = split(exchanges);
        effects.sort_unstable();
        let pauses = effects
            .windows(2)
            .map(|pair| (pair[1] - pair[0], pair[0] - begin));
        (self.longest_pause, self.pause_at) = pauses.max().unwrap_or_default();
    }

    /// The run in one line.
    #[must_use]
    pub fn summary(&self) -> Value {
        let [holds, orders, paid, payments, refunds] = self.rows;
        json!({
            "seed": self.seed, "operations": self.operations, "done": self.done, "accepted": self.accepted,
            "wiped": self.wiped, "split": self.split, "refused": self.refused, "unavailable": self.unavailable, "unknown": self.unknown,
            "faults": self.faults, "false_starts": self.false_starts,
            "longest_pause_ms": millis(self.longest_pause), "pause_at_ms": millis(self.pause_at),
            "longest_answer_ms": millis(self.longest_answer),
            "to_rest_ms": millis(self.to_rest),
            "rows": {"holds": holds, "orders": orders, "paid": paid, "payments": payments, "refund_requests": refunds},
            "findings": self.findings.len(),
        })
    }

    /// The findings as lines for people, with what was done to the cluster.
    #[must_use]
    pub fn told(&self) -> String {
        let findings = self
            .findings
            .iter()
            .map(|finding| format!("seed {}: {finding}\n", self.seed));
        let timeline = if self.findings.is_empty() {
            String::new()
        } else {
            self.timeline()
        };
        findings.chain([timeline]).collect()
    }

    /// What was done to the cluster, as lines for people.
    #[must_use]
    pub fn timeline(&self) -> String {
        self.timeline
            .iter()
            .map(|(at, what)| format!("  {:7.3} {what}\n", at.as_secs_f64()))
            .collect()
    }
}

/// A repeat of what was accepted is given the same request, as long as NATS remembers whose the key is. Forgetting it
/// does no harm, so this is no finding; but it should be rare.
fn split(exchanges: &[Exchange]) -> usize {
    let mut first: HashMap<(&str, &Asked), (Instant, &str)> = HashMap::new();
    let mut split = 0;
    for exchange in exchanges.iter().filter(|exchange| exchange.is_accepted()) {
        let (Some(key), Ok(reply)) = (&exchange.key, &exchange.told) else {
            continue;
        };
        let id = reply.body["request_id"].as_str().unwrap_or_default();
        let (answered, first) = *first
            .entry((key, &exchange.asked))
            .or_insert((exchange.answered, id));
        split += usize::from(first != id && answered < exchange.sent);
    }
    split
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// How many answers of each kind there were: whether a run did what it should.
#[must_use]
pub fn kinds(exchanges: &[Exchange]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for exchange in exchanges {
        let asked = match &exchange.asked {
            Asked::Hold { .. } => "hold",
            Asked::Release { .. } => "release",
            Asked::Order { .. } => "order",
            Asked::Restock { .. } => "restock",
            Asked::Pay(_) => "pay",
        };
        let told = match &exchange.told {
            Ok(reply) => {
                format!(
                    "{} {}{}",
                    reply.status,
                    reply.code(),
                    reply.body["result"].as_str().unwrap_or_default()
                )
            }
            Err(_) => "no answer".to_owned(),
        };
        *kinds.entry(format!("{asked} {told}")).or_default() += 1;
    }
    kinds
}
