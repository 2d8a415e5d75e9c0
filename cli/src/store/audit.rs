//! Positions in the audit trail.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// The id of the audit's last row, or 0 when it is empty.
pub(crate) async fn last(pool: &PgPool) -> sqlx::Result<i64> {
    // Reads one index entry per partition, so the table's size does not matter.
    sqlx::query_scalar(
        "SELECT coalesce(max(last), 0) FROM partitions CROSS JOIN LATERAL (
             SELECT max(audit_id) AS last FROM audit WHERE audit.partition = partitions.partition) AS found",
    )
    .fetch_one(pool)
    .await
}

/// The time this many seconds ago, by Postgres's clock.
pub(crate) async fn seconds_ago(pool: &PgPool, seconds: i64) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("SELECT now() - make_interval(secs => $1)")
        .bind(seconds as f64)
        .fetch_one(pool)
        .await
}
