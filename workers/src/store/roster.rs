//! The roster: which workers are there. Each says that it is, and counts the others. All times are Postgres's.

use std::time::Duration;

use sqlx::PgPool;

use super::lease::interval;

/// A worker that has given no sign of life for so many leases is forgotten.
const FORGOTTEN_AFTER_LEASES: u32 = 20;

/// Says that a worker is there, and tells who else is, in an order that is the same for all.
///
/// # Errors
/// When Postgres fails.
pub async fn sign(pool: &PgPool, owner: &str, lease: Duration) -> sqlx::Result<Vec<String>> {
    sqlx::query(
        "INSERT INTO workers (owner, seen_at) VALUES ($1, now()) ON CONFLICT (owner) DO UPDATE SET seen_at = now()",
    )
    .bind(owner)
    .execute(pool)
    .await?;
    sqlx::query_scalar("SELECT owner FROM workers WHERE seen_at > now() - $1::interval ORDER BY owner")
        .bind(interval(lease))
        .fetch_all(pool)
        .await
}

/// Says that a worker goes, and forgets those that went without a word long ago.
///
/// # Errors
/// When Postgres fails.
pub async fn leave(pool: &PgPool, owner: &str, lease: Duration) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM workers WHERE owner = $1 OR seen_at < now() - $2::interval")
        .bind(owner)
        .bind(interval(lease * FORGOTTEN_AFTER_LEASES))
        .execute(pool)
        .await?;
    Ok(())
}
