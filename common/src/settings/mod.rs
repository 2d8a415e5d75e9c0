//! The settings of all programs, read from environment variables or options.
//!
//! Each program flattens the groups that it needs. The doc comment of a field is its help text; `docs/settings.md` has the
//! table for users. A value that may be a secret is a [`Secret`], so that no log or error shows it. Next: `safety` checks the
//! settings before an ingress or a worker starts.

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

/// The admin token of `holdfast dev`. It is public, so it protects nothing.
pub const DEV_ADMIN_TOKEN: &str = "dev-admin-token";
/// The webhook secret of `holdfast dev`. It is public, so it protects nothing.
pub const DEV_WEBHOOK_SECRET: &str = "dev-webhook-secret";

/// A value that must not appear in logs or errors: a token, a key, or a URL that may contain a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The value in plain text.
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

/// The format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object per line
    Json,
    /// Text for people
    Pretty,
}

/// The handling of a successful payment for a cancelled order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LatePayment {
    /// The order gets stock again if there is enough; otherwise a refund is due
    Reallocate,
    /// A refund is always due
    Refund,
}

/// Settings of logs.
#[derive(Args, Clone, Debug)]
pub struct TelemetrySettings {
    /// Format of log lines [default: json, and pretty for `holdfast`]
    #[arg(long, env = "LOG_FORMAT", value_enum)]
    pub log_format: Option<LogFormat>,
}

/// Settings of the workers' metrics.
#[derive(Args, Clone, Debug)]
pub struct MetricsSettings {
    /// TCP port of /metrics and /healthz. 0 takes a free port. Without it, neither is served
    #[arg(long, env = "METRICS_PORT")]
    pub metrics_port: Option<u16>,
    /// IP address for METRICS_PORT
    #[arg(long, env = "METRICS_ADDRESS", default_value_t = std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED))]
    pub metrics_address: std::net::IpAddr,
}

/// Settings of the connection to Postgres.
#[derive(Args, Clone, Debug)]
pub struct PostgresSettings {
    /// URL of the database (postgres://). Its parameters sslmode, sslrootcert, sslcert and sslkey configure TLS
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    pub database_url: Secret,
}

/// Settings of NATS: the connection, and the log that is stored there.
#[derive(Args, Clone, Debug)]
pub struct NatsSettings {
    /// URLs of the NATS servers (nats:// or tls://), separated by commas
    #[arg(long, env = "NATS_URL", hide_env_values = true)]
    pub nats_url: Secret,
    #[command(flatten)]
    pub access: NatsAccess,
    #[command(flatten)]
    pub layout: LogLayout,
}

/// The layout of the log. Every ingress and worker of a deployment needs the same values.
#[derive(Args, Clone, Debug)]
pub struct LogLayout {
    /// Prefix of all subjects and streams: 1 to 64 letters, digits, `-` or `_`
    #[arg(
        long,
        env = "NATS_PREFIX",
        default_value = "holdfast",
        id = "NATS_PREFIX"
    )]
    pub subjects: Subjects,
    /// Number of partitions that products are spread over, 1 to 4096. At most this many workers share the work. It can't be
    /// changed once the log exists
    #[arg(long, env = "PARTITIONS", default_value = "16")]
    pub partitions: Partitions,
    /// Number of NATS servers that store each message, 1 to 5. Use 3 in a cluster, so that one server may fail
    #[arg(long, env = "STREAM_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    pub stream_replicas: u8,
    /// Largest size of the command log, in MiB. When the log is full, commands get 503
    #[arg(long, env = "LOG_MAX_MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(16..))]
    pub log_max_mb: u32,
}

impl std::ops::Deref for NatsSettings {
    type Target = LogLayout;

    fn deref(&self) -> &LogLayout {
        &self.layout
    }
}

/// Settings of holds and idempotency keys. Ingresses and workers need the same values.
#[derive(Args, Clone, Copy, Debug)]
pub struct HoldSettings {
    /// Lifetime of a hold, in seconds. Then its units return to sale
    #[arg(long, env = "HOLD_EXPIRY_SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub hold_expiry_seconds: u32,
    /// How long an idempotency key is stored, in seconds. A request that is repeated later is a new request
    #[arg(long, env = "IDEMPOTENCY_KEY_TTL", default_value_t = 604_800, value_parser = clap::value_parser!(u32).range(1..=31_536_000))]
    pub idempotency_key_ttl: u32,
}

/// Settings of an ingress.
#[derive(Args, Clone, Debug)]
pub struct IngressSettings {
    /// TCP port on which the ingress listens. 0 takes a free port
    #[arg(long, env = "PORT", default_value_t = 8080)]
    pub port: u16,
    /// IP address on which the ingress listens [default: 0.0.0.0, and 127.0.0.1 for `holdfast dev`]
    #[arg(long, env = "LISTEN_ADDRESS")]
    pub listen_address: Option<std::net::IpAddr>,
    /// Longest wait of a request for its outcome, in milliseconds. After it the client gets 202, and a payment webhook 503
    #[arg(long, env = "REQUEST_WAIT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    pub request_wait_ms: u64,
    /// Longest time that a product stays in the product cache without news of it, in seconds. Then it is read from Postgres
    #[arg(long, env = "STOCK_CACHE_TTL", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub stock_cache_ttl: u64,
    /// Bearer token for /api/admin and /console. Without it, both answer 404
    #[arg(long, env = "ADMIN_TOKEN", hide_env_values = true)]
    pub admin_token: Option<Secret>,
    /// Secrets that payment webhooks may be signed with, separated by commas. Without it, every webhook gets 401
    #[arg(long, env = "WEBHOOK_SECRETS", hide_env_values = true)]
    pub webhook_secrets: Option<Secret>,
    /// Whether to serve the demo store at `/`, where anybody can make a payment succeed
    /// [default: false, and true for `holdfast dev`]
    #[arg(long, env = "DEMO_STORE", action = clap::ArgAction::Set)]
    pub demo_store: Option<bool>,
    #[command(flatten)]
    pub limits: LimitSettings,
}

/// Settings of the retention of old rows.
#[derive(Args, Clone, Copy, Debug)]
pub struct RetentionSettings {
    /// How long outcomes, settled dead letters, and holds that ended without an order are stored, in days. They are always
    /// stored for at least IDEMPOTENCY_KEY_TTL
    #[arg(long, env = "RETENTION_DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub retention_days: u32,
    /// How long a paid or cancelled order keeps its customer_id, in days. Without it, the customer_id is kept for ever
    #[arg(long, env = "CUSTOMER_RETENTION_DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
    pub customer_retention_days: Option<u32>,
    /// How long audit entries and event dead letters are stored, in days
    #[arg(long, env = "AUDIT_RETENTION_DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(30..=36_500))]
    pub audit_retention_days: u32,
}

/// Settings of a worker process.
#[derive(Args, Clone, Debug)]
pub struct WorkerSettings {
    /// Time to pay an order, in seconds. Then the order is cancelled and its units return to sale
    #[arg(long, env = "ORDER_PAYMENT_SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub order_payment_seconds: u32,
    /// Handling of a successful payment for a cancelled order
    #[arg(long, env = "LATE_PAYMENT", value_enum, default_value = "reallocate")]
    pub late_payment: LatePayment,
    #[command(flatten)]
    pub retention: RetentionSettings,
    /// URL to which refund requests are posted until it accepts them. Without it, refunds stay due
    #[arg(long, env = "REFUND_URL", hide_env_values = true)]
    pub refund_url: Option<Secret>,
    /// Secret that signs refund requests as in Standard Webhooks (`whsec_` and base64, or any text). Without it, they are
    /// not signed
    #[arg(long, env = "REFUND_SECRET", hide_env_values = true)]
    pub refund_secret: Option<Secret>,
    /// Lease of a worker on a partition, in milliseconds. When a worker dies, another worker takes its partitions after this
    /// time
    #[arg(long, env = "PARTITION_LEASE_MS", default_value_t = 3000, value_parser = clap::value_parser!(u32).range(500..=60_000))]
    pub partition_lease_ms: u32,
    #[command(flatten)]
    pub events: EventSettings,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_debug_output() {
        let secret = Secret::from("s3cret".to_owned());
        assert!(!format!("{secret:?}").contains("s3cret"));
    }
}
