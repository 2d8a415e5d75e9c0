//! The roster: the workers that run. Each signs it, and computes its share of the partitions from it. All times are
//! Postgres's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_common::encryption::Keyring;
use holdfast_common::time::Timestamp;
use sqlx::PgPool;

use crate::store::lease::interval;

/// The row of a worker that has not signed for this many leases is removed.
const FORGOTTEN_AFTER_LEASES: u32 = 20;

/// The roster, read after a signature.
#[derive(Debug)]
pub struct SignedRoster {
    pub now: Timestamp,
    /// Sorted, so that all workers compute the same shares.
    pub roster: Vec<String>,
    /// Whether the database is sealed by this worker's index key, or both have none. A worker signs and then reads this;
    /// sealing records its key and then reads the roster. So at least one of the two notices the other.
    pub has_same_keys: bool,
}

/// Signs the roster with the key by which the worker seals, and reads it.
///
/// # Errors
/// When Postgres fails.
pub async fn sign(
    pool: &PgPool,
    keys: &Keyring,
    owner: &str,
    lease: Duration,
) -> sqlx::Result<SignedRoster> {
    let now: DateTime<Utc> = sqlx::query_scalar(
        "INSERT INTO workers (owner, seen_at, sealing_key) VALUES ($1, now(), $2)
         ON CONFLICT (owner) DO UPDATE SET seen_at = now() RETURNING seen_at",
    )
    .bind(owner)
    .bind(keys.first())
    .fetch_one(pool)
    .await?;
    let (roster, has_same_keys) = sqlx::query_as(
        "SELECT array_agg(owner ORDER BY owner), (SELECT index_check FROM encryption) IS NOT DISTINCT FROM $2
         FROM workers WHERE seen_at > now() - $1::interval",
    )
    .bind(interval(lease))
    .bind(keys.index_check())
    .fetch_one(pool)
    .await?;
    Ok(SignedRoster {
        now: now.into(),
        roster,
        has_same_keys,
    })
}

/// Removes a worker, and those that stopped signing long ago.
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
