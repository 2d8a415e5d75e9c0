//! One limit: so many requests for each client within so many seconds, all of them at once if it likes.

use std::hash::{BuildHasher, Hash, RandomState};
use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use governor::clock::{Clock, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};

use crate::http::problem::{Problem, codes};
use crate::metrics::METRICS;
use crate::rate_limits::buckets::{Buckets, CLIENTS_MAX};

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// How many seconds' requests may come at once, of shoppers'. It is also how long a full bucket takes to drain.
const BURST_SECONDS: u32 = 2;

/// The most addresses that have a bucket of their own when they sign in; more share some.
const SIGN_IN_CLIENTS_MAX: usize = 16_384;

/// A limit, with what it knows of each client.
pub struct Limit<C: Clock = MonotonicClock> {
    name: &'static str,
    rule: Rule,
    policy: HeaderValue,
    hasher: RandomState,
    limiter: RateLimiter<u64, Buckets, C, StateInformationMiddleware>,
    clock: C,
}

/// What is let in: `burst` requests at once, and as many again within each `window` of seconds, one after the other.
#[derive(Clone, Copy, Debug)]
struct Rule {
    burst: NonZeroU32,
    window: u32,
    /// In words, for those who are refused.
    words: &'static str,
}

impl Rule {
    /// Shoppers: so many requests a second, and twice as many at once.
    fn a_second(rate: NonZeroU32) -> Self {
        Self {
            burst: rate.saturating_mul(NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1)),
            window: BURST_SECONDS,
            words: "requests a second",
        }
    }

    /// How often somebody may try to sign in: more than who mistypes, and less than who guesses.
    const SIGN_IN: Self = Self {
        burst: NonZeroU32::MIN.saturating_add(9),
        window: 60,
        words: "tries a minute",
    };

    fn quota(self) -> Option<Quota> {
        let each = Duration::from_secs(self.window.into()) / self.burst.get();
        Some(Quota::with_period(each)?.allow_burst(self.burst))
    }
}

/// What a client has left, as response headers say it (draft-ietf-httpapi-ratelimit-headers-10).
#[derive(Debug)]
pub struct Left {
    policy: HeaderValue,
    limit: HeaderValue,
}

impl Left {
    /// Adds it to a response's headers, beside what other limits say there.
    pub fn add_to(self, headers: &mut HeaderMap) {
        headers.append(RATE_LIMIT_POLICY, self.policy);
        headers.append(RATE_LIMIT, self.limit);
    }
}

impl Limit {
    /// A limit of this name; `None` when the rate, in requests a second, is 0 or not set.
    #[must_use]
    pub fn new(name: &'static str, rate: Option<u32>) -> Option<Self> {
        let rate = NonZeroU32::new(rate?)?;
        Self::with_clock(name, Rule::a_second(rate), CLIENTS_MAX, MonotonicClock)
    }

    /// The limit of signing in.
    #[must_use]
    pub fn of_sign_ins() -> Option<Self> {
        Self::with_clock(
            "sign_in",
            Rule::SIGN_IN,
            SIGN_IN_CLIENTS_MAX,
            MonotonicClock,
        )
    }
}

impl<C: Clock + Clone> Limit<C> {
    fn with_clock(name: &'static str, rule: Rule, clients_max: usize, clock: C) -> Option<Self> {
        let limiter = RateLimiter::new(rule.quota()?, Buckets::new(clients_max), clock.clone());
        let policy = header(format!("\"{name}\";q={};w={}", rule.burst, rule.window));
        Some(Self {
            name,
            rule,
            policy,
            hasher: RandomState::new(),
            limiter,
            clock,
        })
    }

    /// Counts a client's request.
    ///
    /// # Errors
    /// 429 when it is one too many; then it is not counted.
    pub fn check(&self, client: &(impl Hash + ?Sized)) -> Result<Left, Problem> {
        // Clients choose their names: hashed with a key of our own, nobody can aim at another's bucket.
        match self.limiter.check_key(&self.hasher.hash_one(client)) {
            Ok(state) => {
                let Rule { burst, window, .. } = self.rule;
                let left = state.remaining_burst_capacity().min(burst.get());
                let used = u64::from(burst.get() - left);
                Ok(self.left(
                    left,
                    (used * u64::from(window)).div_ceil(burst.get().into()),
                ))
            }
            Err(refused) => Err(self.refusal(refused.wait_time_from(self.clock.now()))),
        }
    }

    /// `r` requests may be made at once, and the bucket is empty again in `t` seconds.
    fn left(&self, requests: u32, seconds: u64) -> Left {
        let limit = header(format!("\"{}\";r={requests};t={seconds}", self.name));
        Left {
            policy: self.policy.clone(),
            limit,
        }
    }

    fn refusal(&self, wait: Duration) -> Problem {
        METRICS.rate_limited.count(self.name);
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let seconds = seconds.max(1);
        let Left { policy, limit } = self.left(0, seconds);
        let detail = format!("Too many {}. Try again in {seconds} s.", self.rule.words);
        Problem::new(&codes::RATE_LIMITED)
            .with_detail(detail)
            .with_header(RETRY_AFTER, seconds.into())
            .with_header(RATE_LIMIT_POLICY, policy)
            .with_header(RATE_LIMIT, limit)
    }

    /// Forgets those who are within their limit anyhow.
    pub fn sweep(&self) {
        self.limiter.retain_recent();
        self.limiter.shrink_to_fit();
    }
}

fn header(text: String) -> HeaderValue {
    // Names and numbers of our own are always fit for a header.
    HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests;
