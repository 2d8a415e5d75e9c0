//! The history of a run: each request of a client, its reply, and all later reads of its status.
//!
//! Nothing here judges; the auditor does. All times are of this process, so their order is certain.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use holdfast_tests::Answer;
use serde_json::Value;

/// The content of a request. Equal requests have equal bodies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    Hold {
        product: i64,
        quantity: i64,
        /// Unique to this request and its repeats.
        customer: String,
    },
    /// Releases a hold.
    Release { hold: String },
    /// Orders a hold.
    Order { hold: String },
    Restock {
        product: i64,
        /// Negative to remove units.
        quantity: i64,
    },
    /// A webhook of the payment provider.
    Pay(PaymentNotice),
}

/// The content of a webhook of the payment provider.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PaymentNotice {
    /// The id of the order, which is also the id of its hold.
    pub order: String,
    pub payment: String,
    pub succeeded: bool,
    /// `None` when the webhook has no amount.
    pub amount_minor: Option<i64>,
}

/// The parts of an HTTP response that the auditor needs.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Null when the body is not JSON.
    pub body: Value,
    /// The body's bytes as text.
    pub text: String,
    /// Whether the response has `Idempotent-Replayed: true`.
    pub replayed: bool,
    pub location: String,
    pub content_type: String,
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

/// The end of a request that got 202, as a poll showed it.
#[derive(Clone, Debug)]
pub enum End {
    /// The request has an outcome.
    Done { status: u16, body: Value },
    /// The poll got 404.
    Gone,
}

/// A request and everything that its client received about it.
#[derive(Clone, Debug)]
pub struct Exchange {
    pub request: Request,
    /// The idempotency key.
    pub key: Option<String>,
    /// The number of the ingress.
    pub ingress: usize,
    pub sent_at: Instant,
    /// The response, or the error of the connection.
    pub reply: Result<Reply, String>,
    pub replied_at: Instant,
    /// The ends that polls showed after a 202.
    pub ends: Vec<(Instant, End)>,
    /// The positions in the queue that the 202 and the polls showed.
    pub positions: Vec<(Instant, u64)>,
}

/// The outcome of a request, as its client received it.
#[derive(Clone, Copy, Debug)]
pub struct Outcome<'a> {
    pub status: u16,
    pub body: &'a Value,
    /// The time at which the client received it.
    pub at: Instant,
}

impl Outcome<'_> {
    /// The `code` of a problem document.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

impl Exchange {
    /// Whether the reply was 202, so that the client has to poll.
    #[must_use]
    pub fn is_accepted(&self) -> bool {
        !matches!(self.request, Request::Pay(_))
            && self.reply.as_ref().is_ok_and(|reply| reply.status == 202)
    }

    /// The outcome, when the client received one. A 503 is no outcome: the request may have an effect or not.
    #[must_use]
    pub fn outcome(&self) -> Option<Outcome<'_>> {
        let reply = self.reply.as_ref().ok()?;
        if self.is_accepted() {
            return self.ends.iter().rev().find_map(|(at, end)| match end {
                End::Done { status, body } => Some(Outcome {
                    status: *status,
                    body,
                    at: *at,
                }),
                End::Gone => None,
            });
        }
        (reply.status < 500).then_some(Outcome {
            status: reply.status,
            body: &reply.body,
            at: self.replied_at,
        })
    }

    /// Whether the request got 202 and no poll has shown its end.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.is_accepted() && self.ends.is_empty()
    }
}

/// A GET and its reply.
#[derive(Clone, Debug)]
pub struct Read {
    pub path: String,
    pub reply: Reply,
}

/// The requests and reads of all clients.
#[derive(Debug, Default)]
pub struct History {
    exchanges: Mutex<Vec<Exchange>>,
    reads: Mutex<Vec<Read>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each entry is added in one step, so a panic of another client leaves the list whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl History {
    /// The exchanges so far. Do not hold the guard across an await.
    pub fn exchanges(&self) -> MutexGuard<'_, Vec<Exchange>> {
        lock(&self.exchanges)
    }

    /// The reads so far. Do not hold the guard across an await.
    pub fn reads(&self) -> MutexGuard<'_, Vec<Read>> {
        lock(&self.reads)
    }

    /// Adds an exchange; returns its number.
    pub fn record(&self, exchange: Exchange) -> usize {
        let mut exchanges = self.exchanges();
        exchanges.push(exchange);
        exchanges.len() - 1
    }
}
