//! The roster: which workers are there. Each says that it is, and counts the others. All times are Postgres's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_common::time::Timestamp;
use sqlx::PgPool;

use super::lease::interval;

/// A worker that has given no sign of life for so many leases is forgotten.
const FORGOTTEN_AFTER_LEASES: u32 = 20;

/// Says that a worker is there; tells Postgres's time, and who else is there, in an order that is the same for all.
///
/// # Errors
/// When Postgres fails.
pub async fn sign(pool: &PgPool, owner: &str, lease: Duration) -> sqlx::Result<(Timestamp, Vec<String>)> {
    let now: DateTime<Utc> = sqlx::query_scalar(
        "INSERT INTO workers (owner, seen_at) VALUES ($1, now()) ON CONFLICT (owner) DO UPDATE SET seen_at = now()
         RETURNING seen_at",
    )
    .bind(owner)
    .fetch_one(pool)
    .await?;
    let roster = sqlx::query_scalar("SELECT owner FROM workers WHERE seen_at > now() - $1::interval ORDER BY owner")
        .bind(interval(lease))
        .fetch_all(pool)
        .await?;
    Ok((now.into(), roster))
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
