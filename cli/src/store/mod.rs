//! The operator's SQL: reads, as free functions. Nothing here writes; what is to change is said to the log.

pub(crate) mod audit;
pub(crate) mod customers;
pub(crate) mod doctor;
pub(crate) mod holds;
pub(crate) mod queue;
pub(crate) mod selling;

use holdfast_common::encryption::{self, Keyring};
use holdfast_common::settings::{EncryptionSettings, PostgresSettings};
use holdfast_common::store::postgres::{self, Pool};
use holdfast_common::store::schema;
use sqlx::PgPool;

/// A connection for a command that runs once, to a database with this build's schema. `name` is what Postgres's own lists
/// show.
///
/// # Errors
/// When Postgres does not let us in, or lacks a migration.
pub(crate) async fn open(settings: &PostgresSettings, name: &str) -> anyhow::Result<PgPool> {
    let pool = postgres::connect(settings, Pool::once(name)).await?;
    schema::check(&pool).await?;
    Ok(pool)
}

/// The same, for a command that deals with customers or payments: with the keys that they are sealed by.
///
/// # Errors
/// Also when the database is sealed by other keys.
pub(crate) async fn open_sealed(
    settings: &PostgresSettings,
    encryption: &EncryptionSettings,
    name: &str,
) -> anyhow::Result<(PgPool, Keyring)> {
    let keys = encryption.keyring()?;
    let pool = open(settings, name).await?;
    encryption::check::check(&pool, &keys).await?;
    Ok((pool, keys))
}
