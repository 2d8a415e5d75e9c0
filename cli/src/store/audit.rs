//! Where the audit stands.

use chrono::{DateTime, Utc};
use sqlx::PgPool;

/// The last row of the audit; 0 when there is none.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn last(pool: &PgPool) -> sqlx::Result<i64> {
    // A partition's last row is found by its index, whatever the table's size.
    sqlx::query_scalar(
        "SELECT coalesce(max(last), 0) FROM partitions CROSS JOIN LATERAL (
             SELECT max(audit_id) AS last FROM audit WHERE audit.partition = partitions.partition) AS found",
    )
    .fetch_one(pool)
    .await
}

/// The time before which so many seconds have passed, by Postgres's clock.
///
/// # Errors
/// When Postgres fails.
pub(crate) async fn settled(pool: &PgPool, seconds: i64) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("SELECT now() - make_interval(secs => $1)")
        .bind(seconds as f64)
        .fetch_one(pool)
        .await
}
