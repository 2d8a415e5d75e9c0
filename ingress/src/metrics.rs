//! What the ingress counts, and how it is called.
//!
//! Handles are registered once and held here, so that counting looks nothing up. What is read from tables and from NATS
//! is in [`gauges`], every few seconds and whoever fetches.

pub mod gauges;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::Duration;

use axum::http::{Method, StatusCode};
use holdfast_common::metrics::{
    Counter, Gauge, Histogram, counter_of, gauge_of, histogram_of, label,
};

/// What a request asks for: its endpoint, as far as operators tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// `POST /api/holds`
    CreateHold,
    /// `DELETE /api/holds/{id}`
    ReleaseHold,
    /// `POST /api/orders`
    CreateOrder,
    /// `POST /api/payments/webhook`
    Webhook,
    /// Products, one or a list
    Products,
    /// One hold, order or request
    LookUp,
    /// `/api/admin`
    Admin,
    /// Everything else
    Other,
}

impl Endpoint {
    const ALL: [Self; 8] = [
        Self::CreateHold,
        Self::ReleaseHold,
        Self::CreateOrder,
        Self::Webhook,
        Self::Products,
        Self::LookUp,
        Self::Admin,
        Self::Other,
    ];

    /// The endpoint that a request's method and path name.
    #[must_use]
    pub fn of(method: &Method, path: &str) -> Self {
        let Some(path) = path.strip_prefix("/api/") else {
            return Self::Other;
        };
        let (resource, is_one) = path
            .split_once('/')
            .map_or((path, false), |(resource, _)| (resource, true));
        match (resource, is_one) {
            ("holds", false) if *method == Method::POST => Self::CreateHold,
            ("holds", true) if *method == Method::DELETE => Self::ReleaseHold,
            ("orders", false) if *method == Method::POST => Self::CreateOrder,
            ("payments", true) => Self::Webhook,
            ("products", _) => Self::Products,
            ("holds" | "orders" | "requests", true) => Self::LookUp,
            ("admin", true) => Self::Admin,
            _ => Self::Other,
        }
    }

    /// Its name in metrics and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CreateHold => "create_hold",
            Self::ReleaseHold => "release_hold",
            Self::CreateOrder => "create_order",
            Self::Webhook => "webhook",
            Self::Products => "products",
            Self::LookUp => "look_up",
            Self::Admin => "admin",
            Self::Other => "other",
        }
    }

    /// Whether 202 says that there is no outcome yet. A parked payment's is one.
    fn may_be_queued(self) -> bool {
        matches!(
            self,
            Self::CreateHold | Self::ReleaseHold | Self::CreateOrder | Self::Admin
        )
    }
}

/// The statuses from 100 to 599.
const STATUSES: usize = 500;

/// One endpoint's requests.
struct Requests {
    endpoint: Endpoint,
    /// By status, registered when it is answered first.
    answered: [OnceLock<Counter>; STATUSES],
    seconds: Histogram,
}

impl Requests {
    fn register(endpoint: Endpoint) -> Self {
        let help = "Seconds from a request's head to its answer. Left out are 202s that say that there is no outcome yet.";
        let seconds = histogram_of(
            "holdfast_http_request_seconds",
            help,
            &[label("endpoint", endpoint.name())],
        );
        let requests = Self {
            endpoint,
            answered: [const { OnceLock::new() }; STATUSES],
            seconds,
        };
        // A rate needs a beginning: what alerts are made of starts at 0.
        for status in [
            StatusCode::OK,
            StatusCode::INTERNAL_SERVER_ERROR,
            StatusCode::SERVICE_UNAVAILABLE,
        ] {
            requests.of(status);
        }
        requests
    }

    fn of(&self, status: StatusCode) -> &Counter {
        self.answered[usize::from(status.as_u16() - 100) % STATUSES].get_or_init(|| {
            let help = "Requests that were answered, by endpoint and status.";
            let labels = [
                label("endpoint", self.endpoint.name()),
                label("status", status.as_str().to_owned()),
            ];
            counter_of("holdfast_http_requests_total", help, &labels)
        })
    }
}

/// Counts by status that the ingress itself can read. A handle of a Prometheus counter can't be read.
pub struct StatusCounts([AtomicU64; STATUSES]);

impl StatusCounts {
    fn count(&self, status: StatusCode) {
        self.0[usize::from(status.as_u16() - 100) % STATUSES].fetch_add(1, Ordering::Relaxed);
    }

    /// Each status that was counted, with its count.
    pub fn by_status(&self) -> Vec<(u16, u64)> {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        (100..)
            .zip(counts)
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// What the ingress counts.
pub struct Measures {
    requests: [Requests; Endpoint::ALL.len()],
    /// Responses to `POST /api/holds`, as in `holdfast_http_requests_total`.
    pub hold_responses: StatusCounts,
    /// Connections that clients have open.
    pub connections: Gauge,
    /// Requests refused with 429, by the limit that they met.
    pub rate_limited: ByName<3>,
    /// Requests refused with 503, by their problem's code.
    pub unavailable: ByName<4>,
    /// Webhooks, by what was made of them here; what their payments did the workers count.
    pub webhooks: ByName<4>,
    /// Reads of products, by whether memory could answer.
    pub cache: ByName<2>,
    /// Holds refused from memory.
    pub sold_out: Counter,
    /// Outcomes whose reply did not come, so that they were read from rows.
    pub missed_replies: Counter,
    /// How long the log takes to acknowledge an envelope, tries again included.
    pub publish_seconds: Histogram,
    /// Envelopes that had to be sent again.
    pub publish_retries: Counter,
    /// Commands in an envelope.
    pub envelope_commands: Histogram,
    /// Size of an envelope.
    pub envelope_bytes: Histogram,
}

/// Counters of one metric that differ in one label.
pub struct ByName<const N: usize>([(&'static str, Counter); N]);

impl<const N: usize> ByName<N> {
    fn register(
        metric: &'static str,
        help: &'static str,
        name: &'static str,
        values: [&'static str; N],
    ) -> Self {
        Self(values.map(|value| (value, counter_of(metric, help, &[label(name, value)]))))
    }

    /// Counts one. A value that was not registered is a mistake that counts nothing.
    pub fn count(&self, value: &str) {
        let counter = self.0.iter().find(|(name, _)| *name == value);
        debug_assert!(counter.is_some(), "{value} is not registered");
        if let Some((_, counter)) = counter {
            counter.increment(1);
        }
    }
}

/// What this process counts.
pub static METRICS: LazyLock<Measures> = LazyLock::new(Measures::register);

impl Measures {
    fn register() -> Self {
        Self {
            requests: Endpoint::ALL.map(Requests::register),
            hold_responses: StatusCounts([const { AtomicU64::new(0) }; STATUSES]),
            connections: gauge_of(
                "holdfast_http_connections",
                "Connections that clients have open.",
                &[],
            ),
            rate_limited: ByName::register(
                "holdfast_rate_limited_total",
                "Requests refused with 429, by the limit that they met.",
                "limit",
                ["ip", "customer", "sign_in"],
            ),
            unavailable: ByName::register(
                "holdfast_unavailable_total",
                "Requests refused with 503, by the code that they were told.",
                "code",
                [
                    "overloaded",
                    "log_full",
                    "log_unavailable",
                    "store_unavailable",
                ],
            ),
            webhooks: ByName::register(
                "holdfast_webhooks_total",
                "Payment webhooks: first of their key, duplicates of one, refused for their form or signature, or not in time.",
                "result",
                ["first", "duplicate", "refused", "unavailable"],
            ),
            cache: ByName::register(
                "holdfast_cache_lookups_total",
                "Reads of one product, by whether memory had it.",
                "result",
                ["hit", "miss"],
            ),
            sold_out: counter_of(
                "holdfast_sold_out_total",
                "Holds refused as sold out from memory: no worker has seen them.",
                &[],
            ),
            missed_replies: counter_of(
                "holdfast_missed_replies_total",
                "Outcomes that were read from rows, since a worker was replaced before it told them.",
                &[],
            ),
            publish_seconds: histogram_of(
                "holdfast_publish_seconds",
                "Seconds until the log had an envelope of commands, tries again included.",
                &[],
            ),
            publish_retries: counter_of(
                "holdfast_publish_retries_total",
                "Envelopes that were sent again.",
                &[],
            ),
            envelope_commands: histogram_of(
                "holdfast_envelope_commands",
                "Commands in an envelope.",
                &[],
            ),
            envelope_bytes: histogram_of(
                "holdfast_envelope_bytes",
                "Size of an envelope in bytes.",
                &[],
            ),
        }
    }

    /// Counts an answer.
    pub fn answered(&self, endpoint: Endpoint, status: StatusCode, after: Duration) {
        let requests = &self.requests[endpoint as usize];
        requests.of(status).increment(1);
        if endpoint == Endpoint::CreateHold {
            self.hold_responses.count(status);
        }
        if status != StatusCode::ACCEPTED || !endpoint.may_be_queued() {
            requests.seconds.record(after);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_counts_leave_out_statuses_without_responses() {
        let counts = StatusCounts([const { AtomicU64::new(0) }; STATUSES]);
        for status in [
            StatusCode::CONFLICT,
            StatusCode::CREATED,
            StatusCode::CONFLICT,
        ] {
            counts.count(status);
        }
        assert_eq!(counts.by_status(), [(201, 1), (409, 2)]);
    }

    #[test]
    fn requests_are_told_apart_by_method_and_path() {
        let of = |method: Method, path| Endpoint::of(&method, path);
        assert_eq!(of(Method::POST, "/api/holds"), Endpoint::CreateHold);
        assert_eq!(of(Method::DELETE, "/api/holds/1"), Endpoint::ReleaseHold);
        assert_eq!(of(Method::GET, "/api/holds/1"), Endpoint::LookUp);
        assert_eq!(of(Method::POST, "/api/orders"), Endpoint::CreateOrder);
        assert_eq!(of(Method::POST, "/api/payments/webhook"), Endpoint::Webhook);
        assert_eq!(of(Method::GET, "/api/products"), Endpoint::Products);
        assert_eq!(of(Method::POST, "/api/admin/products"), Endpoint::Admin);
        for path in ["/healthz", "/api/", "/api/admin", "/api/holdsome", "*"] {
            assert_eq!(of(Method::GET, path), Endpoint::Other, "{path}");
        }
        assert!(
            Endpoint::ALL
                .iter()
                .enumerate()
                .all(|(at, endpoint)| *endpoint as usize == at)
        );
    }
}
