//! The audit as an outbox of events: what is to be published, and how far that has come.

use chrono::{DateTime, Utc};
use holdfast_common::partition::{Partition, Partitions};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A row of the audit: the changes that one batch made to one product.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct AuditRow {
    pub product_id: i64,
    pub audit_id: i64,
    pub at: DateTime<Utc>,
    pub available_before: i32,
    pub kind: Vec<i16>,
    pub subject: Vec<Uuid>,
    pub quantity: Vec<i32>,
    pub sequence: Vec<i64>,
    pub available_after: Vec<i32>,
    pub held_after: Vec<i32>,
    pub sold_after: Vec<i32>,
}

/// Has every partition send events from now on, where none were sent before.
///
/// # Errors
/// When Postgres fails.
pub async fn begin(pool: &PgPool, partitions: Partitions) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO events_sent (partition, audit_id)
         SELECT number, coalesce((SELECT max(audit_id) FROM audit WHERE audit.partition = number), 0)
         FROM generate_series(0, $1::smallint) AS number ON CONFLICT (partition) DO NOTHING",
    )
    .bind(partitions.count().cast_signed() - 1)
    .execute(pool)
    .await?;
    Ok(())
}

/// The last row of a partition of which all is known to be published; 0 before the first.
///
/// # Errors
/// When Postgres fails.
pub async fn sent(pool: &PgPool, partition: Partition) -> sqlx::Result<i64> {
    let sent = sqlx::query_scalar("SELECT audit_id FROM events_sent WHERE partition = $1");
    Ok(sent
        .bind(partition.0.cast_signed())
        .fetch_optional(pool)
        .await?
        .unwrap_or(0))
}

/// Notes that all up to a row is published. It never goes back: another worker may have come further.
///
/// # Errors
/// When Postgres fails.
pub async fn note_sent(pool: &PgPool, partition: Partition, audit_id: i64) -> sqlx::Result<()> {
    sqlx::query("UPDATE events_sent SET audit_id = $2 WHERE partition = $1 AND audit_id < $2")
        .bind(partition.0.cast_signed())
        .bind(audit_id)
        .execute(pool)
        .await?;
    Ok(())
}

/// The rows of a partition from one on, in the order in which they were committed.
///
/// # Errors
/// When Postgres fails.
pub async fn rows(
    pool: &PgPool,
    partition: Partition,
    from: i64,
    limit: i64,
) -> sqlx::Result<Vec<AuditRow>> {
    sqlx::query_as(
        "SELECT product_id, audit_id, at, available_before, kind, subject, quantity, sequence, available_after,
             held_after, sold_after
         FROM audit WHERE partition = $1 AND audit_id >= $2 ORDER BY audit_id LIMIT $3",
    )
    .bind(partition.0.cast_signed())
    .bind(from)
    .bind(limit)
    .fetch_all(pool)
    .await
}
