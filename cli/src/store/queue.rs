//! Who applies each partition and how far it has come, and Postgres's time.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

/// A partition as its row says.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct PartitionLease {
    /// Its number.
    pub(crate) partition: i16,
    /// The worker that has it; none when it was given back.
    pub(crate) owner: Option<String>,
    /// Milliseconds until its lease ends; negative when that is past. None when there is no lease.
    pub(crate) lease_ms: Option<i64>,
    /// The stream that `applied_seq` counts in.
    pub(crate) stream_created: DateTime<Utc>,
    /// The last log sequence whose effects are committed.
    pub(crate) applied_seq: i64,
    /// Postgres's time.
    pub(crate) now: DateTime<Utc>,
}

impl PartitionLease {
    /// Whether a live worker has it.
    pub(crate) fn is_owned(&self) -> bool {
        self.owner.is_some() && self.lease_ms.is_some_and(|left| left > 0)
    }
}

/// The partitions of a deployment with this many.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn leases(pool: &PgPool, partitions: u16) -> sqlx::Result<Vec<PartitionLease>> {
    // A lease that was given back ends at -infinity, which has no distance.
    sqlx::query_as(
        "SELECT partition, owner, stream_created, applied_seq, now() AS now,
             CASE WHEN isfinite(lease_until) THEN (extract(epoch FROM lease_until - now()) * 1000)::bigint END AS lease_ms
         FROM partitions WHERE partition < $1 ORDER BY partition",
    )
    .bind(partitions.cast_signed())
    .fetch_all(pool)
    .await
}
