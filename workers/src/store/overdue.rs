//! Which partitions have something that should have ended by itself and has not.

use chrono::{DateTime, Utc};
use holdfast_common::partition::{Partition, Partitions};
use holdfast_common::time::Timestamp;
use sqlx::PgPool;

/// The partitions of a worker in which something is overdue by a second, and Postgres's time.
///
/// # Errors
/// When Postgres fails.
pub async fn partitions(
    pool: &PgPool,
    owner: &str,
    partitions: Partitions,
) -> sqlx::Result<Vec<(Partition, Timestamp)>> {
    let rows: Vec<(i16, DateTime<Utc>)> = sqlx::query_as(
        "WITH overdue AS (
             (SELECT slot FROM holds WHERE status = 'active' AND expires_at <= now() - interval '1 second'
              ORDER BY expires_at LIMIT 10000)
             UNION ALL
             (SELECT slot FROM orders WHERE status = 'pending_payment' AND payment_due_at <= now() - interval '1 second'
              ORDER BY payment_due_at LIMIT 10000)
             UNION ALL
             (SELECT slot FROM payments WHERE state = 'parked' AND received_at <= now() - interval '24 hours'
              ORDER BY received_at LIMIT 10000)
         )
         SELECT partition, now() FROM partitions
         WHERE owner = $1 AND partition IN (SELECT slot::integer * $2 / 4096 FROM overdue)",
    )
    .bind(owner)
    .bind(i32::from(partitions.count()))
    .fetch_all(pool)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(partition, now)| (Partition(partition.cast_unsigned()), now.into()))
        .collect())
}
