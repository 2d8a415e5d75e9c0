//! What one client may ask of an ingress: how often, how slowly, and on how many connections.

use std::time::Duration;

use clap::Args;

use crate::settings::networks::Networks;

/// Requests a second from one address, unless it is set, where limits are on by default.
const RATE_PER_IP: u32 = 100;
/// Holds a second for one customer, unless it is set, where limits are on by default.
const RATE_PER_KEY: u32 = 10;
/// The highest rate that can be set, in requests a second: twice as many still count in 32 bits.
const RATE_MAX: i64 = 1_000_000;

/// The ingress's limits.
#[derive(Args, Clone, Debug)]
pub struct LimitSettings {
    /// How many requests a second one address may make, and twice as many at once; 0 is no limit
    /// [default: 100, and 0 for `holdfast dev`]
    #[arg(long, env = "RATE_LIMIT_PER_IP", value_parser = clap::value_parser!(u32).range(0..=RATE_MAX))]
    pub rate_limit_per_ip: Option<u32>,
    /// How many holds a second one `customer_id` may ask for, and twice as many at once; 0 is no limit
    /// [default: 10, and 0 for `holdfast dev`]
    #[arg(long, env = "RATE_LIMIT_PER_KEY", value_parser = clap::value_parser!(u32).range(0..=RATE_MAX))]
    pub rate_limit_per_key: Option<u32>,
    /// The proxies whose word for a client's address counts: addresses or networks, with commas between them
    #[arg(long, env = "TRUSTED_PROXIES", default_value = "")]
    pub trusted_proxies: Networks,
    /// How many connections may be open at once; more wait
    #[arg(long, env = "CONNECTIONS_MAX", default_value_t = 16_384, value_parser = clap::value_parser!(u32).range(16..=1_000_000))]
    pub connections_max: u32,
    /// How long a request's head may take to arrive, and then its body, in milliseconds
    #[arg(long, env = "REQUEST_READ_MS", default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(100..=600_000))]
    pub request_read_ms: u64,
    /// How long a connection stays open between two requests, in seconds
    #[arg(long, env = "KEEP_ALIVE_SECONDS", default_value_t = 75, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub keep_alive_seconds: u64,
}

impl LimitSettings {
    /// Limits both rates unless they are set: for programs that face the world.
    pub fn limit_by_default(&mut self) {
        self.rate_limit_per_ip.get_or_insert(RATE_PER_IP);
        self.rate_limit_per_key.get_or_insert(RATE_PER_KEY);
    }

    /// How long a request's head may take, and then its body.
    #[must_use]
    pub fn request_read(&self) -> Duration {
        Duration::from_millis(self.request_read_ms)
    }

    /// How long a connection may be idle.
    #[must_use]
    pub fn keep_alive(&self) -> Duration {
        Duration::from_secs(self.keep_alive_seconds)
    }
}
