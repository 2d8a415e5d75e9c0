//! The report of a run: its counts and findings.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::faults::FaultKind;
use crate::history::{End, Exchange, Request};

#[derive(Debug, Default)]
pub struct Report {
    pub seed: u64,
    /// Number of operations of all clients.
    pub operations: usize,
    /// Requests whose first reply showed their effect.
    pub done: usize,
    /// Requests that got 202.
    pub accepted: usize,
    /// Accepted requests that ended in a 404 because NATS lost its store.
    pub wiped: usize,
    /// Accepted repeats that got another request id than the first request under their key.
    pub split: usize,
    /// Requests that were refused (4xx).
    pub refused: usize,
    /// Requests that got 503.
    pub unavailable: usize,
    /// Requests without a reply.
    pub unknown: usize,
    /// Number of injected faults by kind.
    pub faults: BTreeMap<String, usize>,
    /// Processes that ended before they started to work, and were restarted.
    pub false_starts: usize,
    /// The longest time between two direct effects.
    pub longest_pause: Duration,
    /// The start of that pause, since the start of the clients.
    pub pause_at: Duration,
    /// The longest time until a reply.
    pub longest_answer: Duration,
    /// From the end of the faults until no work was pending.
    pub to_rest: Duration,
    /// Number of holds, orders, paid orders, payments and refund requests at the end.
    pub rows: [usize; 5],
    /// Number of replies of each kind.
    pub replies: BTreeMap<String, usize>,
    pub findings: Vec<String>,
    /// The faults and crashes, with their time since the start of the cluster.
    pub timeline: Vec<(Duration, String)>,
}

impl Report {
    /// Counts a fault.
    pub fn count_fault(&mut self, kind: FaultKind) {
        use clap::ValueEnum;
        let name = kind
            .to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default();
        *self.faults.entry(name).or_default() += 1;
    }

    /// Counts the replies, and the pauses between the start and the end of the operations.
    pub fn count(&mut self, exchanges: &[Exchange], begin: Instant, end: Instant) {
        let mut effects = vec![begin, end];
        for exchange in exchanges {
            self.longest_answer = self
                .longest_answer
                .max(exchange.replied_at - exchange.sent_at);
            match &exchange.reply {
                Err(_) => self.unknown += 1,
                Ok(_) if exchange.is_accepted() => {
                    self.accepted += 1;
                    self.wiped += usize::from(matches!(exchange.ends.last(), Some((_, End::Gone))));
                }
                Ok(reply) if reply.status < 300 => {
                    self.done += 1;
                    effects.push(exchange.replied_at.min(end));
                }
                Ok(reply) if reply.status < 500 => self.refused += 1,
                Ok(_) => self.unavailable += 1,
            }
        }
        self.split = count_split(exchanges);
        effects.sort_unstable();
        let pauses = effects
            .windows(2)
            .map(|pair| (pair[1] - pair[0], pair[0] - begin));
        (self.longest_pause, self.pause_at) = pauses.max().unwrap_or_default();
    }

    /// The run as one line of JSON.
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

    /// The findings as lines of text, followed by the timeline.
    #[must_use]
    pub fn findings_text(&self) -> String {
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

    /// The timeline as lines of text.
    #[must_use]
    pub fn timeline(&self) -> String {
        self.timeline
            .iter()
            .map(|(at, event)| format!("  {:7.3} {event}\n", at.as_secs_f64()))
            .collect()
    }
}

/// Counts the repeats that got another request id. A repeat of an accepted request gets the same id while NATS remembers
/// the key. A forgotten key does no harm, so this is not a finding; it should be rare.
fn count_split(exchanges: &[Exchange]) -> usize {
    let mut first: HashMap<(&str, &Request), (Instant, &str)> = HashMap::new();
    let mut split = 0;
    for exchange in exchanges.iter().filter(|exchange| exchange.is_accepted()) {
        let (Some(key), Ok(reply)) = (&exchange.key, &exchange.reply) else {
            continue;
        };
        let id = reply.body["request_id"].as_str().unwrap_or_default();
        let (answered, first) = *first
            .entry((key, &exchange.request))
            .or_insert((exchange.replied_at, id));
        split += usize::from(first != id && answered < exchange.sent_at);
    }
    split
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Number of replies of each kind. They show whether a run covered all kinds.
#[must_use]
pub fn count_replies(exchanges: &[Exchange]) -> BTreeMap<String, usize> {
    let mut replies = BTreeMap::new();
    for exchange in exchanges {
        let request = match &exchange.request {
            Request::Hold { .. } => "hold",
            Request::Release { .. } => "release",
            Request::Order { .. } => "order",
            Request::Restock { .. } => "restock",
            Request::Pay(_) => "pay",
        };
        let reply = match &exchange.reply {
            Ok(reply) => {
                format!(
                    "{} {}{}",
                    reply.status,
                    reply.code(),
                    reply.body["result"].as_str().unwrap_or_default()
                )
            }
            Err(_) => "no reply".to_owned(),
        };
        *replies.entry(format!("{request} {reply}")).or_default() += 1;
    }
    replies
}
