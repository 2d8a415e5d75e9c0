//! Limits of an ingress: request rates, connections and read timeouts.

use std::time::Duration;

use clap::Args;

use crate::settings::networks::Networks;

/// Default of `RATE_LIMIT_PER_IP` outside `holdfast dev`, in requests per second.
const RATE_PER_IP: u32 = 100;
/// Default of `RATE_LIMIT_PER_KEY` outside `holdfast dev`, in holds per second.
const RATE_PER_KEY: u32 = 10;
/// The highest rate that can be set, in requests per second. A burst of twice as many must fit in 32 bits.
const RATE_MAX: i64 = 1_000_000;

/// Limits of an ingress.
#[derive(Args, Clone, Debug)]
pub struct LimitSettings {
    /// Requests per second of one client address. Bursts may have twice as many. Clients over the limit get 429. 0 is no limit
    /// [default: 100, and 0 for `holdfast dev`]
    #[arg(long, env = "RATE_LIMIT_PER_IP", value_parser = clap::value_parser!(u32).range(0..=RATE_MAX))]
    pub rate_limit_per_ip: Option<u32>,
    /// Holds per second of one `customer_id`. Bursts may have twice as many. Clients over the limit get 429. 0 is no limit
    /// [default: 10, and 0 for `holdfast dev`]
    #[arg(long, env = "RATE_LIMIT_PER_KEY", value_parser = clap::value_parser!(u32).range(0..=RATE_MAX))]
    pub rate_limit_per_key: Option<u32>,
    /// Addresses or networks of your proxies, separated by commas. The client address is read from the X-Forwarded-For or
    /// Forwarded header of these proxies only
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: Networks,
    /// Largest number of open connections. Further connections wait to be accepted
    #[arg(long, env = "CONNECTIONS_MAX", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub connections_max: u32,
    /// Time limit for reading the head of a request, and then for its body, in milliseconds
    #[arg(long, env = "REQUEST_READ_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub request_read_ms: u64,
    /// How long an idle connection stays open, in seconds. Choose a longer time than that of your load balancer
    #[arg(long, env = "KEEP_ALIVE_SECONDS", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub keep_alive_seconds: u64,
}

impl LimitSettings {
    /// Sets the default of both rates, for programs that are reachable by everybody.
    pub fn limit_by_default(&mut self) {
        self.rate_limit_per_ip.get_or_insert(RATE_PER_IP);
        self.rate_limit_per_key.get_or_insert(RATE_PER_KEY);
    }

    /// `REQUEST_READ_MS`.
    #[must_use]
    pub fn request_read(&self) -> Duration {
        Duration::from_millis(self.request_read_ms)
    }

    /// `KEEP_ALIVE_SECONDS`.
    #[must_use]
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds)
    }
}
