//! Postgres's clock, the only one that decides anything.

use chrono::{DateTime, Utc};
use holdfast_common::time::Timestamp;
use sqlx::PgPool;

/// The time now.
///
/// # Errors
/// When Postgres fails.
pub async fn now(pool: &PgPool) -> sqlx::Result<Timestamp> {
    let now: DateTime<Utc> = sqlx::query_scalar("SELECT clock_timestamp()")
        .fetch_one(pool)
        .await?;
    Ok(now.into())
}
