//! Connects to Postgres: the pool and its limits, and errors with advice for operators.

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::settings::PostgresSettings;
use crate::tls::{self, TlsSettings};

const TLS: TlsSettings = TlsSettings {
    server: "Postgres",
    url: "DATABASE_URL",
    ca: "sslrootcert in DATABASE_URL",
    client_certificate: "sslcert and sslkey in DATABASE_URL",
};

/// How long a query waits for a connection.
const ACQUIRE_WAIT: Duration = Duration::from_secs(3);
/// Attempts to connect at the start. Pauses between them grow to [`CONNECT_PAUSE_MAX`]: about half a minute in all.
const CONNECT_TRIES_MAX: usize = 16;
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Postgres can't be used. The message tells an operator what to correct.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("DATABASE_URL is not a postgres:// URL: correct it")]
    InvalidUrl,
    #[error(
        "can't connect to Postgres at DATABASE_URL: {0}. Start Postgres, or correct DATABASE_URL"
    )]
    Unreachable(#[source] sqlx::Error),
    #[error("can't connect to Postgres at DATABASE_URL: {0}")]
    Tls(String),
}

/// The error for an operator when a connection failed.
#[must_use]
pub fn connect_error(error: sqlx::Error) -> PostgresError {
    match tls::advice(&error, &TLS) {
        Some(advice) => PostgresError::Tls(advice),
        None => PostgresError::Unreachable(error),
    }
}

/// The options of a connection pool.
#[derive(Clone, Copy, Debug)]
pub struct PoolOptions<'a> {
    /// The `application_name` in `pg_stat_activity`.
    pub name: &'a str,
    pub connections_max: u32,
    /// Settings of each connection, for example `statement_timeout`.
    pub session: &'a [(&'a str, &'a str)],
    /// Whether an idle connection is tested before its use. The test costs a round trip.
    pub tests_before_use: bool,
}

impl<'a> PoolOptions<'a> {
    /// One connection, for a command that runs once.
    #[must_use]
    pub fn once(name: &'a str) -> Self {
        Self {
            name,
            connections_max: 1,
            session: &[],
            tests_before_use: true,
        }
    }
}

/// Opens a pool and waits until Postgres accepts a connection.
///
/// # Errors
/// When the URL is malformed, TLS fails, or no attempt to connect succeeds for about half a minute.
pub async fn connect(
    settings: &PostgresSettings,
    pool: PoolOptions<'_>,
) -> Result<PgPool, PostgresError> {
    // The error of `parse` would contain the URL with its password.
    let options: PgConnectOptions = settings
        .database_url
        .expose()
        .parse()
        .map_err(|_| PostgresError::InvalidUrl)?;
    let options = options
        .application_name(pool.name)
        .options(pool.session.iter().copied());
    let open = || {
        PgPoolOptions::new()
            .max_connections(pool.connections_max)
            .min_connections(1)
            .acquire_timeout(ACQUIRE_WAIT)
            .test_before_acquire(pool.tests_before_use)
            .connect_with(options.clone())
    };
    let pauses = ExponentialBuilder::default()
        .with_jitter()
        .with_max_delay(CONNECT_PAUSE_MAX);
    open.retry(pauses.with_max_times(CONNECT_TRIES_MAX))
        .when(|error| tls::advice(error, &TLS).is_none())
        .notify(|error, _| tracing::warn!(%error, "can't connect to Postgres; trying again"))
        .await
        .map_err(connect_error)
}
