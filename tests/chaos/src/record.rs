//! What every client asked and what it was told, as the auditor will want to know it.
//!
//! Nothing here judges. Times are this process's, by which it is certain what came strictly before what.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use holdfast_tests::Answer;
use serde_json::Value;

/// What a request asks for. Two requests that are equal here have the same body.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Asked {
    /// Units of a product. The customer's name is in no other request but repeats of this one.
    Hold {
        /// Of which product.
        product: i64,
        /// How many.
        quantity: i64,
        /// For whom.
        customer: String,
    },
    /// A hold's end.
    Release {
        /// Which.
        hold: String,
    },
    /// An order of a hold.
    Order {
        /// Which.
        hold: String,
    },
    /// More units, or fewer.
    Restock {
        /// Of which product.
        product: i64,
        /// How many.
        quantity: i64,
    },
    /// A payment provider's word.
    Pay(Notice),
}

/// What a payment provider says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Notice {
    /// The order, or the hold that may become it.
    pub order: String,
    /// The payment.
    pub payment: String,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The amount, when the provider says it.
    pub amount_minor: Option<i64>,
}

/// An answer's parts that matter.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The body, null when it is not JSON.
    pub body: Value,
    /// The body as it came.
    pub text: String,
    /// Whether it is said to be a replay.
    pub replayed: bool,
    /// The `Location` header.
    pub location: String,
    /// The `Content-Type` header.
    pub content_type: String,
    /// Whether there is a `Retry-After`.
    pub has_retry_after: bool,
}

impl Reply {
    /// The `code` of a problem document.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self {
            status: answer.status.as_u16(),
            replayed: answer.header("idempotent-replayed") == "true",
            location: answer.header("location").to_owned(),
            content_type: answer.header("content-type").to_owned(),
            has_retry_after: !answer.header("retry-after").is_empty(),
            body: answer.body,
            text: answer.text,
        }
    }
}

/// How a request that was answered 202 went on.
#[derive(Clone, Debug)]
pub enum End {
    /// It has an outcome.
    Done {
        /// The outcome's status.
        status: u16,
        /// The outcome's document.
        body: Value,
    },
    /// Nothing was known of it.
    Gone,
}

/// One request, and all that was said about it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What it asked for.
    pub asked: Asked,
    /// Its idempotency key.
    pub key: Option<String>,
    /// Which ingress it went to.
    pub ingress: usize,
    /// When it was sent.
    pub sent: Instant,
    /// The answer, or why there is none.
    pub told: Result<Reply, String>,
    /// When that came.
    pub answered: Instant,
    /// How it ended, when it was accepted first; each change of the story, with its time.
    pub ends: Vec<(Instant, End)>,
    /// The places in line that it was told, with their times.
    pub places: Vec<(Instant, u64)>,
}

/// A request's outcome, as its client was told it.
#[derive(Clone, Copy, Debug)]
pub struct Final<'a> {
    /// The status.
    pub status: u16,
    /// The document.
    pub body: &'a Value,
    /// When the client had it.
    pub at: Instant,
}

impl Final<'_> {
    /// The `code` of a problem document.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Exchange {
    /// Whether it was accepted, to be asked for later.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        !matches!(self.asked, Asked::Pay(_))
            && self.told.as_ref().is_ok_and(|reply| reply.status == 202)
    }

    /// The outcome, when its client knows it. A 503 is none: the effect may be there or not.
    #[must_use]
    pub fn outcome(&self) -> Option<Final<'_>> {
        let reply = self.told.as_ref().ok()?;
        if self.is_accepted() {
            return self.ends.iter().rev().find_map(|(at, end)| match end {
                End::Done { status, body } => Some(Final {
                    status: *status,
                    body,
                    at: *at,
                }),
                End::Gone => None,
            });
        }
        (reply.status < 500).then_some(Final {
            status: reply.status,
            body: &reply.body,
            at: self.answered,
        })
    }

    /// Whether it still has to be asked for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_accepted() && self.ends.is_empty()
    }
}

/// What a read showed.
#[derive(Clone, Debug)]
pub struct Read {
    /// The path.
    pub path: String,
    /// The answer.
    pub reply: Reply,
}

/// Everything that was said, by all clients.
#[derive(Debug, Default)]
pub struct Journal {
    exchanges: Mutex<Vec<Exchange>>,
    reads: Mutex<Vec<Read>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each entry is written at once, so a panic elsewhere leaves the list whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Journal {
    /// The exchanges so far. Not to be held across a wait.
    pub fn exchanges(&self) -> MutexGuard<'_, Vec<Exchange>> {
        lock(&self.exchanges)
    }

    /// The reads so far. Not to be held across a wait.
    pub fn reads(&self) -> MutexGuard<'_, Vec<Read>> {
        lock(&self.reads)
    }

    /// Writes an exchange down; says its number.
    pub fn note(&self, exchange: Exchange) -> usize {
        let mut exchanges = self.exchanges();
        exchanges.push(exchange);
        exchanges.len() - 1
    }
}
