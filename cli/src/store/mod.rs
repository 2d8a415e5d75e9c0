//! The SQL of operators' commands: free functions that only read. Changes go through the log, or through the store of
//! the workers crate.

pub(crate) mod audit;
pub(crate) mod customers;
pub(crate) mod doctor;
pub(crate) mod holds;
pub(crate) mod queue;
pub(crate) mod selling;

use holdfast_common::encryption::{self, Keyring};
use holdfast_common::settings::{EncryptionSettings, PostgresSettings};
use holdfast_common::store::postgres::{self, PoolOptions};
use holdfast_common::store::schema;
use sqlx::PgPool;

/// Connects to a database, and checks that it has this build's schema. `name` is the connection's application name in Postgres.
pub(crate) async fn open(settings: &PostgresSettings, name: &str) -> anyhow::Result<PgPool> {
    let pool = postgres::connect(settings, PoolOptions::once(name)).await?;
    schema::check(&pool).await?;
    Ok(pool)
}

/// Like [`open`], and checks that the database is encrypted with these keys.
pub(crate) async fn open_encrypted(
    settings: &PostgresSettings,
    encryption: &EncryptionSettings,
    name: &str,
) -> anyhow::Result<(PgPool, Keyring)> {
    let keys = encryption.keyring()?;
    let pool = open(settings, name).await?;
    encryption::check::check(&pool, &keys).await?;
    Ok((pool, keys))
}
