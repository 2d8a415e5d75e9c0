//! The roster: which workers are there. Each says that it is, and counts the others. All times are Postgres's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_common::encryption::Keyring;
use holdfast_common::time::Timestamp;
use sqlx::PgPool;

use crate::store::lease::interval;

/// A worker that has given no sign of life for so many leases is forgotten.
const FORGOTTEN_AFTER_LEASES: u32 = 20;

/// What a worker finds when it signs.
#[derive(Debug)]
pub struct Signed {
    /// Postgres's time.
    pub now: Timestamp,
    /// Who is there, in an order that is the same for all.
    pub roster: Vec<String>,
    /// Whether the database still is sealed by the worker's index key, or not at all like the worker. Who begins to seal
    /// one looks at the roster after saying so, and workers sign before they look: one of both sees the other.
    pub is_sealed_alike: bool,
}

/// Says that a worker is there, and by which key it seals.
///
/// # Errors
/// When Postgres fails.
pub async fn sign(
    pool: &PgPool,
    keys: &Keyring,
    owner: &str,
    lease: Duration,
) -> sqlx::Result<Signed> {
    let now: DateTime<Utc> = sqlx::query_scalar(
        "INSERT INTO workers (owner, seen_at, sealing_key) VALUES ($1, now(), $2)
         ON CONFLICT (owner) DO UPDATE SET seen_at = now() RETURNING seen_at",
    )
    .bind(owner)
    .bind(keys.first())
    .fetch_one(pool)
    .await?;
    let (roster, is_sealed_alike) = sqlx::query_as(
        "SELECT array_agg(owner ORDER BY owner), (SELECT index_check FROM encryption) IS NOT DISTINCT FROM $2
         FROM workers WHERE seen_at > now() - $1::interval",
    )
    .bind(interval(lease))
    .bind(keys.index_check())
    .fetch_one(pool)
    .await?;
    Ok(Signed {
        now: now.into(),
        roster,
        is_sealed_alike,
    })
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
