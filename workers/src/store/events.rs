//! The audit as an outbox of events: the rows to publish, and the cursor of each partition.

use chrono::{DateTime, Utc};
use holdfast_common::partition::{Partition, Partitions};
use sqlx::{FromRow, PgPool};
use uuid::Uuid;

/// A row of the audit: the changes that one batch made to one product.
#[derive(Clone, Debug, FromRow)]
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

/// Creates the missing cursors. A partition whose events were off until now begins with the changes from now on.
///
/// # Errors
/// When Postgres fails.
pub async fn create_cursors(pool: &PgPool, partitions: Partitions) -> sqlx::Result<()> {
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

/// The cursor: the last row of a partition whose events were recorded as published; 0 before the first.
///
/// # Errors
/// When Postgres fails.
pub async fn published(pool: &PgPool, partition: Partition) -> sqlx::Result<i64> {
    let cursor = sqlx::query_scalar("SELECT audit_id FROM events_sent WHERE partition = $1");
    Ok(cursor
        .bind(partition.0.cast_signed())
        .fetch_optional(pool)
        .await?
        .unwrap_or(0))
}

/// Moves the cursor forward to a row. It never moves back: another worker may have published more.
///
/// # Errors
/// When Postgres fails.
pub async fn record_published(
    pool: &PgPool,
    partition: Partition,
    audit_id: i64,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO events_sent AS old (partition, audit_id) VALUES ($1, $2)
         ON CONFLICT (partition) DO UPDATE SET audit_id = excluded.audit_id WHERE old.audit_id < excluded.audit_id",
    )
    .bind(partition.0.cast_signed())
    .bind(audit_id)
    .execute(pool)
    .await?;
    Ok(())
}

/// The rows of a partition from a row on, in the order of their commits.
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
