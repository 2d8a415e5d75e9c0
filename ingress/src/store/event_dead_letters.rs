//! Events that a receiver did not take, for operators.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgPool};

/// A dead event as an operator looks at it.
#[derive(Clone, Debug, FromRow)]
pub struct DeadEvent {
    /// The event's id, the same at every receiver.
    pub event_id: String,
    /// The receiver: a hash of its URL.
    pub receiver: String,
    /// The URL's host.
    pub host: String,
    /// What happened.
    pub r#type: String,
    /// The event as it is posted.
    pub body: String,
    /// Why it was not taken, when it was tried last.
    pub error: String,
    /// How often it was posted.
    pub tries: i64,
    /// When it was given up last.
    pub failed_at: DateTime<Utc>,
    /// When somebody asked to have it posted once more, until it is.
    pub retry_asked_at: Option<DateTime<Utc>>,
}

/// Behind which dead event a page begins: when it was given up, its id, its receiver.
pub type After = (DateTime<Utc>, String, String);

/// Dead events after one, in the order in which they were given up.
///
/// # Errors
/// When Postgres fails.
pub async fn list(
    pool: &PgPool,
    after: Option<&After>,
    limit: i64,
) -> sqlx::Result<Vec<DeadEvent>> {
    sqlx::query_as(
        "SELECT * FROM event_dead_letters
         WHERE $1::timestamptz IS NULL OR (failed_at, event_id, receiver) > ($1, $2, $3)
         ORDER BY failed_at, event_id, receiver LIMIT $4",
    )
    .bind(after.map(|after| after.0))
    .bind(after.map(|after| after.1.as_str()))
    .bind(after.map(|after| after.2.as_str()))
    .bind(limit)
    .fetch_all(pool)
    .await
}
