//! The lease and the applied position of each partition.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

/// A row of `partitions`, read at `now`.
#[derive(Clone, Debug, FromRow)]
pub(crate) struct PartitionLease {
    pub(crate) partition: i16,
    /// The worker with the lease. `None` after a worker has released it.
    pub(crate) owner: Option<String>,
    /// Milliseconds until the lease ends. Negative when it has ended, `None` after it was released.
    pub(crate) lease_ms: Option<i64>,
    /// The creation time of the stream whose sequences `applied_seq` counts.
    pub(crate) stream_created: DateTime<Utc>,
    /// The last log sequence with committed effects.
    pub(crate) applied_seq: i64,
    /// Postgres's clock at the time of the read.
    pub(crate) now: DateTime<Utc>,
}

impl PartitionLease {
    /// Whether a worker has a lease that has not ended.
    pub(crate) fn is_owned(&self) -> bool {
        self.owner.is_some() && self.lease_ms.is_some_and(|left| left > 0)
    }
}

/// The leases of the partitions below `partitions`.
pub(crate) async fn leases(pool: &PgPool, partitions: u16) -> sqlx::Result<Vec<PartitionLease>> {
    // A released lease ends at -infinity, from which no interval can be computed.
    sqlx::query_as(
        "SELECT partition, owner, stream_created, applied_seq, now() AS now,
             CASE WHEN isfinite(lease_until) THEN (extract(epoch FROM lease_until - now()) * 1000)::bigint END AS lease_ms
         FROM partitions WHERE partition < $1 ORDER BY partition",
    )
    .bind(partitions.cast_signed())
    .fetch_all(pool)
    .await
}
