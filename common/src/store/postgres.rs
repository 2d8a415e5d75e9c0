//! Connections to Postgres, and how Postgres says "later".

use std::time::Duration;

use backon::{ExponentialBuilder, Retryable};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use crate::settings::PostgresSettings;
use crate::tls::{self, TlsSettings};

const TLS: TlsSettings = TlsSettings {
    server: "Postgres",
    url: "DATABASE_URL",
    ca: "sslrootcert in DATABASE_URL",
    ours: "sslcert and sslkey in DATABASE_URL",
};

/// How long a query waits for a connection.
const ACQUIRE_WAIT: Duration = Duration::from_secs(3);
/// How often the start tries to connect, with growing pauses of at most [`CONNECT_PAUSE_MAX`]: half a minute in all.
const CONNECT_TRIES_MAX: usize = 16;
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What can go wrong with Postgres at the start. All of it is for an operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The URL makes no sense.
    #[error("DATABASE_URL is no postgres:// URL")]
    InvalidUrl,
    /// Nobody answers, or not us.
    #[error("Postgres does not let us in at DATABASE_URL: {0}. Start it, or correct DATABASE_URL")]
    Unreachable(#[source] sqlx::Error),
    /// TLS failed.
    #[error("Postgres at DATABASE_URL can't be used: {0}")]
    Tls(String),
}

/// What to tell an operator of a connection that could not be made.
#[must_use]
pub fn failed(error: sqlx::Error) -> PostgresError {
    match tls::advice(&error, &TLS) {
        Some(advice) => PostgresError::Tls(advice),
        None => PostgresError::Unreachable(error),
    }
}

/// How a program uses Postgres.
#[derive(Clone, Copy, Debug)]
pub struct Pool<'a> {
    /// What Postgres's own lists show it as.
    pub name: &'a str,
    /// The most connections.
    pub connections_max: u32,
    /// Settings of each connection (`statement_timeout` and the like).
    pub session: &'a [(&'a str, &'a str)],
    /// Whether a connection that was idle is tried before it is used, which costs a round trip.
    pub tests_before_use: bool,
}

impl<'a> Pool<'a> {
    /// For a command that runs once.
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

/// Opens a pool and waits until Postgres answers.
///
/// # Errors
/// When the URL makes no sense, TLS fails, or Postgres does not let us in for about half a minute.
pub async fn connect(settings: &PostgresSettings, pool: Pool<'_>) -> Result<PgPool, PostgresError> {
    // The error would repeat the URL, and with it the password.
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
        .notify(|error, _| tracing::warn!(%error, "Postgres does not answer yet"))
        .await
        .map_err(failed)
}
