//! Settings, from the environment or the command line.
//!
//! Each program flattens the groups it needs. A value that may be a secret is a [`Secret`], which shows itself to
//! nobody who does not ask for it by name.

mod access;
mod encryption;
mod events;
mod limits;
mod networks;
mod safety;

use std::fmt;
use std::str::FromStr;

use clap::{Args, ValueEnum};

pub use self::access::NatsAccess;
pub use self::encryption::EncryptionSettings;
pub use self::events::{EventSettings, Switch};
pub use self::limits::LimitSettings;
pub use self::networks::{Networks, NoNetwork};
pub use self::safety::{Risk, SafetySettings, UnsafeSetting, UnsafeSettings};
use crate::messages::subjects::Subjects;
use crate::partition::Partitions;

/// The admin token of `holdfast dev`, which everybody knows.
pub const DEV_ADMIN_TOKEN: &str = "dev-admin-token";
/// The webhook secret of `holdfast dev`, which everybody knows.
pub const DEV_WEBHOOK_SECRET: &str = "dev-webhook-secret";

/// A value that must not reach a log or an error: URLs with passwords, tokens, keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value itself, for its one use.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(value: &str) -> Result<Self, Self::Err> {
        Ok(Self(value.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

/// How logs are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// What becomes of a payment for an order that was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LatePayment {
    /// The order gets stock again where there is some; otherwise the money goes back.
    Reallocate,
    /// The money goes back.
    Refund,
}

/// How a program logs.
#[derive(Args, Clone, Debug)]
pub struct TelemetrySettings {
    /// How logs are written [default: json, and pretty for `holdfast dev`]
    #[arg(long, env = "LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Where the workers say what they count.
#[derive(Args, Clone, Debug)]
pub struct MetricsSettings {
    /// The port of /metrics and /healthz; 0 takes a free one, without it there is neither
    #[arg(long, env = "METRICS_PORT")]
    pub metrics_port: Option<u16>,
    /// Its address
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))]
    pub metrics_address: std::net::IpAddr,
}

/// Where Postgres is.
#[derive(Args, Clone, Debug)]
pub struct PostgresSettings {
    /// The database, as a postgres:// URL
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
}

/// Where NATS is, and how the log is laid out in it.
#[derive(Args, Clone, Debug)]
pub struct NatsSettings {
    /// The server, or several with commas between them, as nats:// or tls:// URLs
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Secret,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub access: NatsAccess,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub layout: LogLayout,
}

/// How the log is laid out.
#[derive(Args, Clone, Debug)]
pub struct LogLayout {
    /// The prefix of all subjects and streams
    #[arg(
        long,
        env = "NATS_PREFIX",
        default_value = "holdfast",
        id = "NATS_PREFIX"
    )]
    pub subjects: Subjects,
    /// How many shares products are split into; fixed once the log exists
    #[arg(long, env = "PARTITIONS", default_value = "16")]
    pub partitions: Partitions,
    /// How many NATS servers keep each message
    #[arg(long, env = "STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub stream_replicas: u8,
    /// The most disk space that the log may take, in MiB; a full log answers 503
    #[arg(long, env = "LOG_MAX_MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..))]
    pub log_max_mb: u32,
}

impl std::ops::Deref for NatsSettings {
    type Target = LogLayout;

    fn deref(&self) -> &LogLayout {
        &self.layout
    }
}

/// What ingresses and workers have to agree on.
#[derive(Args, Clone, Copy, Debug)]
pub struct HoldSettings {
    /// How long a hold lasts, in seconds
    #[arg(long, env = "HOLD_EXPIRY_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub hold_expiry_seconds: u32,
    /// How long an idempotency key is remembered, in seconds
    #[arg(long, env = "IDEMPOTENCY_KEY_TTL", default_value_t = 604_800, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub idempotency_key_ttl: u32,
}

/// What the ingress needs besides.
#[derive(Args, Clone, Debug)]
pub struct IngressSettings {
    /// The port to listen on; 0 takes a free one
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// The address to listen on [default: 0.0.0.0, and 127.0.0.1 for `holdfast dev`]
    #[arg(long, env = "LISTEN_ADDRESS")]
    pub listen_address: Option<std::net::IpAddr>,
    /// How long a request waits for its outcome, in milliseconds, before it is answered 202
    #[arg(long, env = "REQUEST_WAIT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub request_wait_ms: u64,
    /// How long a product's stock is served from memory without news of it, in seconds
    #[arg(long, env = "STOCK_CACHE_TTL", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub stock_cache_ttl: u64,
    /// The bearer token of the administration; without one its paths answer 404
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<Secret>,
    /// The secrets that payment webhooks may be signed with, with commas between them
    #[arg(long, env = "WEBHOOK_SECRETS", hide_env_values = true)]
    pub webhook_secrets: Option<Secret>,
    /// Whether there is a store to try at `/`, which pays for orders by itself [default: false, and true for `holdfast dev`]
    #[arg(long, env = "DEMO_STORE", action = clap::ArgAction::Set)]
    pub demo_store: Option<bool>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub limits: LimitSettings,
}

/// How long what has ended is kept.
#[derive(Args, Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// How long ended holds, refusals and other outcomes are kept, in days
    #[arg(long, env = "RETENTION_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub retention_days: u32,
    /// How long orders that were paid or cancelled say whose they are, in days; without it for ever
    #[arg(long, env = "CUSTOMER_RETENTION_DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub customer_retention_days: Option<u32>,
    /// How long the audit is kept, in days, and events that a receiver did not take
    #[arg(long, env = "AUDIT_RETENTION_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(30..=36_500))]
    pub audit_retention_days: u32,
}

/// What the workers need besides.
#[derive(Args, Clone, Debug)]
pub struct WorkerSettings {
    /// How long an order waits for its payment, in seconds
    #[arg(long, env = "ORDER_PAYMENT_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub order_payment_seconds: u32,
    /// What becomes of a payment for an order that was cancelled
    #[arg(long, env = "LATE_PAYMENT", value_enum, default_value = "reallocate")]
    pub late_payment: LatePayment,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub retention: RetentionSettings,
    /// Where refund requests are posted; without it refunds stay due
    #[arg(long, env = "REFUND_URL", hide_env_values = true)]
    pub refund_url: Option<Secret>,
    /// The secret that refund requests are signed with, as Standard Webhooks has it (`whsec_` and base64, or any text)
    #[arg(long, env = "REFUND_SECRET", hide_env_values = true)]
    pub refund_secret: Option<Secret>,
    /// How long a partition stays its worker's without a sign of life, in milliseconds
    #[arg(long, env = "PARTITION_LEASE_MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(500..=60_000))]
    pub partition_lease_ms: u32,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub events: EventSettings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_show_itself() {
        let secret = Secret::from("s3cret".to_owned());
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
