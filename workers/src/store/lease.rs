//! The partition rows: the owner of each partition, and its position in the log.
//!
//! The lease only decides how soon another worker tries to take a partition. Correctness comes from the epoch, which
//! [`super::fence`] compares. All times are Postgres's.

use std::time::Duration;

use chrono::{DateTime, Utc};
use holdfast_common::partition::{Partition, Partitions};
use sqlx::PgPool;
use sqlx::postgres::types::PgInterval;

/// A partition that this worker owns until its lease ends, and its position.
#[derive(Clone, Debug)]
pub struct Lease {
    pub partition: Partition,
    /// Grows by one with each owner.
    pub epoch: i64,
    /// When the stream was created in which the position counts.
    pub stream_created: DateTime<Utc>,
    /// The last log sequence whose effects are committed.
    pub applied_seq: u64,
}

type LeaseRow = (i16, i64, DateTime<Utc>, i64);

impl From<LeaseRow> for Lease {
    fn from((partition, epoch, stream_created, applied_seq): LeaseRow) -> Self {
        // Stored from a u16, and from a u64 that counts messages.
        let (partition, applied_seq) = (
            Partition(partition.cast_unsigned()),
            applied_seq.cast_unsigned(),
        );
        Self {
            partition,
            epoch,
            stream_created,
            applied_seq,
        }
    }
}

pub(super) fn interval(duration: Duration) -> PgInterval {
    PgInterval {
        months: 0,
        days: 0,
        microseconds: i64::try_from(duration.as_micros()).unwrap_or(i64::MAX),
    }
}

/// Creates the rows of partitions that have none yet.
///
/// # Errors
/// When Postgres fails.
pub async fn create_rows(pool: &PgPool, partitions: Partitions) -> sqlx::Result<()> {
    let last = partitions.count().cast_signed() - 1;
    sqlx::query("INSERT INTO partitions (partition) SELECT generate_series(0, $1::smallint) ON CONFLICT DO NOTHING")
        .bind(last)
        .execute(pool)
        .await?;
    Ok(())
}

/// Takes at most `count` partitions that have no owner, or whose lease has ended.
///
/// # Errors
/// When Postgres fails.
pub async fn take_free(
    pool: &PgPool,
    owner: &str,
    lease: Duration,
    partitions: Partitions,
    count: i64,
) -> sqlx::Result<Vec<Lease>> {
    // A locked row is in use by a batch, or by another worker that is taking it. Rows beyond the number of partitions are
    // left from a log that had more.
    let rows: Vec<LeaseRow> = sqlx::query_as(
        "UPDATE partitions SET owner = $1, epoch = epoch + 1, lease_until = now() + $2
         WHERE partition IN (
             SELECT partition FROM partitions WHERE lease_until <= now() AND partition < $3
             ORDER BY partition LIMIT $4 FOR UPDATE SKIP LOCKED
         )
         RETURNING partition, epoch, stream_created, applied_seq",
    )
    .bind(owner)
    .bind(interval(lease))
    .bind(partitions.count().cast_signed())
    .bind(count)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(Lease::from).collect())
}

/// Renews the leases of a worker's partitions that had no batch recently. Each batch renews its partition's lease itself.
///
/// # Errors
/// When Postgres fails.
pub async fn renew(pool: &PgPool, owner: &str, lease: Duration) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE partitions SET lease_until = now() + $2
         WHERE partition IN (
             SELECT partition FROM partitions WHERE owner = $1 AND lease_until <= now() + $2 * 0.7
             ORDER BY partition FOR UPDATE SKIP LOCKED
         )",
    )
    .bind(owner)
    .bind(interval(lease))
    .execute(pool)
    .await?;
    Ok(())
}

/// The partitions that a worker owns in the table, each with its epoch.
///
/// # Errors
/// When Postgres fails.
pub async fn owned(pool: &PgPool, owner: &str) -> sqlx::Result<Vec<(Partition, i64)>> {
    let rows: Vec<(i16, i64)> =
        sqlx::query_as("SELECT partition, epoch FROM partitions WHERE owner = $1")
            .bind(owner)
            .fetch_all(pool)
            .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, epoch)| (Partition(partition.cast_unsigned()), epoch))
        .collect())
}

/// Gives a partition back, so that another worker can take it at once. Returns whether this worker still owned it.
///
/// # Errors
/// When Postgres fails.
pub async fn give_back(pool: &PgPool, lease: &Lease) -> sqlx::Result<bool> {
    let given_back = sqlx::query(
        "UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = $1 AND epoch = $2",
    )
    .bind(lease.partition.0.cast_signed())
    .bind(lease.epoch)
    .execute(pool)
    .await?;
    Ok(given_back.rows_affected() == 1)
}

/// Gives a partition back by its owner, whatever its epoch. Another worker may have taken it meanwhile; then nothing
/// changes.
///
/// # Errors
/// When Postgres fails.
pub async fn release(pool: &PgPool, owner: &str, partition: Partition) -> sqlx::Result<()> {
    sqlx::query("UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = $1 AND owner = $2")
        .bind(partition.0.cast_signed())
        .bind(owner)
        .execute(pool)
        .await?;
    Ok(())
}

/// Reads a partition's present row. `None` when another worker owns it.
///
/// # Errors
/// When Postgres fails.
pub async fn read_own(pool: &PgPool, lease: &Lease) -> sqlx::Result<Option<Lease>> {
    let row: Option<LeaseRow> = sqlx::query_as(
        "SELECT partition, epoch, stream_created, applied_seq FROM partitions WHERE partition = $1 AND epoch = $2",
    )
    .bind(lease.partition.0.cast_signed())
    .bind(lease.epoch)
    .fetch_optional(pool)
    .await?;
    Ok(row.map(Lease::from))
}

/// The position that every partition has passed in a stream. `None` while some partitions count in another stream.
///
/// # Errors
/// When Postgres fails.
pub async fn passed_by_all(
    pool: &PgPool,
    partitions: Partitions,
    stream_created: DateTime<Utc>,
) -> sqlx::Result<Option<u64>> {
    let passed: Option<i64> = sqlx::query_scalar(
        "SELECT CASE WHEN bool_and(stream_created = $1) THEN min(applied_seq) END FROM partitions WHERE partition < $2",
    )
    .bind(stream_created)
    .bind(partitions.count().cast_signed())
    .fetch_one(pool)
    .await?;
    Ok(passed.map(i64::cast_unsigned))
}
