//! Event dead letters: events that a receiver did not accept in time.

use holdfast_common::id::ProductId;
use sqlx::{FromRow, PgPool};

/// Retries in one turn.
const RETRIES_MAX: i64 = 64;

#[derive(Clone, Copy, Debug)]
pub struct EventDeadLetter<'a> {
    /// 0 for an event without a product.
    pub product_id: i64,
    pub event_id: &'a str,
    /// A hash of the receiver's URL.
    pub receiver: &'a str,
    /// The URL's host.
    pub host: &'a str,
    /// The event's type.
    pub kind: &'a str,
    /// The event, as JSON.
    pub body: &'a str,
    /// The error of the last try.
    pub error: &'a str,
    pub tries: i64,
}

/// Writes an event dead letter. A row that exists was written by a worker that died before its acknowledgement.
///
/// # Errors
/// When Postgres fails.
pub async fn insert(pool: &PgPool, letter: EventDeadLetter<'_>) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO event_dead_letters (slot, event_id, receiver, host, type, body, error, tries, failed_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now())
         ON CONFLICT (slot, event_id, receiver) DO NOTHING",
    )
    .bind(ProductId(letter.product_id).slot().as_i16())
    .bind(letter.event_id)
    .bind(letter.receiver)
    .bind(letter.host)
    .bind(letter.kind)
    .bind(letter.body)
    .bind(letter.error)
    .bind(letter.tries)
    .execute(pool)
    .await?;
    Ok(())
}

/// An event dead letter that an operator wants to be posted once more.
#[derive(Clone, Debug, FromRow)]
pub struct EventRetry {
    pub slot: i16,
    pub event_id: String,
    pub body: String,
}

/// Takes the retries of a receiver. The worker that takes one posts it, and records the result by [`accepted`] or
/// [`failed_again`].
///
/// # Errors
/// When Postgres fails.
pub async fn take_retries(pool: &PgPool, receiver: &str) -> sqlx::Result<Vec<EventRetry>> {
    sqlx::query_as(
        "UPDATE event_dead_letters SET retry_asked_at = NULL
         WHERE (slot, event_id, receiver) IN (
             SELECT slot, event_id, receiver FROM event_dead_letters
             WHERE retry_asked_at IS NOT NULL AND receiver = $1
             ORDER BY retry_asked_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING slot, event_id, body",
    )
    .bind(receiver)
    .bind(RETRIES_MAX)
    .fetch_all(pool)
    .await
}

/// Removes an event dead letter that its receiver has accepted. An operator may have dropped it meanwhile.
///
/// # Errors
/// When Postgres fails.
pub async fn accepted(pool: &PgPool, receiver: &str, retry: &EventRetry) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM event_dead_letters WHERE slot = $1 AND event_id = $2 AND receiver = $3",
    )
    .bind(retry.slot)
    .bind(&retry.event_id)
    .bind(receiver)
    .execute(pool)
    .await?;
    Ok(())
}

/// Records that a retry was not accepted. An operator may have dropped the event meanwhile.
///
/// # Errors
/// When Postgres fails.
pub async fn failed_again(
    pool: &PgPool,
    receiver: &str,
    retry: &EventRetry,
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE event_dead_letters SET error = $4, tries = tries + 1, failed_at = now()
         WHERE slot = $1 AND event_id = $2 AND receiver = $3",
    )
    .bind(retry.slot)
    .bind(&retry.event_id)
    .bind(receiver)
    .bind(error)
    .execute(pool)
    .await?;
    Ok(())
}

/// Marks event dead letters to be posted once more: those of one event, or all. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn request_retry(pool: &PgPool, event_id: Option<&str>) -> sqlx::Result<u64> {
    let marked = sqlx::query(
        "UPDATE event_dead_letters SET retry_asked_at = now() WHERE $1 IS NULL OR event_id = $1",
    );
    Ok(marked.bind(event_id).execute(pool).await?.rows_affected())
}

/// Removes event dead letters: those of one event, or all. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn remove(pool: &PgPool, event_id: Option<&str>) -> sqlx::Result<u64> {
    let removed = sqlx::query("DELETE FROM event_dead_letters WHERE $1 IS NULL OR event_id = $1");
    Ok(removed.bind(event_id).execute(pool).await?.rows_affected())
}
