//! Events that a receiver did not take in time.

use holdfast_common::id::ProductId;
use sqlx::{FromRow, PgPool};

/// The most that are tried again in one turn.
const ASKED_MAX: i64 = 64;

/// An event that is given up.
#[derive(Clone, Copy, Debug)]
pub struct GivenUp<'a> {
    /// The product that it is about; 0 when it is about none.
    pub product_id: i64,
    /// The event's id.
    pub event_id: &'a str,
    /// The receiver: a hash of its URL.
    pub receiver: &'a str,
    /// The URL's host.
    pub host: &'a str,
    /// The event's type.
    pub kind: &'a str,
    /// The event.
    pub body: &'a str,
    /// Why it was not taken.
    pub error: &'a str,
    /// How often it was posted.
    pub tries: i64,
}

/// Writes one down. One that is there already was given up by a worker that died right afterwards.
///
/// # Errors
/// When Postgres fails.
pub async fn bury(pool: &PgPool, letter: GivenUp<'_>) -> sqlx::Result<()> {
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

/// One that an operator asked to have posted once more.
#[derive(Clone, Debug, FromRow)]
#[allow(missing_docs)]
pub struct Asked {
    pub slot: i16,
    pub event_id: String,
    pub body: String,
}

/// Takes those that a receiver is to get once more. Whoever takes one posts it, and says what came of it.
///
/// # Errors
/// When Postgres fails.
pub async fn take_asked(pool: &PgPool, receiver: &str) -> sqlx::Result<Vec<Asked>> {
    sqlx::query_as(
        "UPDATE event_dead_letters SET retry_asked_at = NULL
         WHERE (slot, event_id, receiver) IN (
             SELECT slot, event_id, receiver FROM event_dead_letters
             WHERE retry_asked_at IS NOT NULL AND receiver = $1
             ORDER BY retry_asked_at LIMIT $2 FOR UPDATE SKIP LOCKED)
         RETURNING slot, event_id, body",
    )
    .bind(receiver)
    .bind(ASKED_MAX)
    .fetch_all(pool)
    .await
}

/// Removes one that its receiver has taken.
///
/// # Errors
/// When Postgres fails.
pub async fn taken(pool: &PgPool, receiver: &str, asked: &Asked) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM event_dead_letters WHERE slot = $1 AND event_id = $2 AND receiver = $3",
    )
    .bind(asked.slot)
    .bind(&asked.event_id)
    .bind(receiver)
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that one was not taken once more.
///
/// # Errors
/// When Postgres fails.
pub async fn failed_again(
    pool: &PgPool,
    receiver: &str,
    asked: &Asked,
    error: &str,
) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE event_dead_letters SET error = $4, tries = tries + 1, failed_at = now()
         WHERE slot = $1 AND event_id = $2 AND receiver = $3",
    )
    .bind(asked.slot)
    .bind(&asked.event_id)
    .bind(receiver)
    .bind(error)
    .execute(pool)
    .await?;
    Ok(())
}

/// Notes that dead events are to be posted once more: one, at each receiver that did not take it, or all. Says how many.
///
/// # Errors
/// When Postgres fails.
pub async fn ask(pool: &PgPool, event_id: Option<&str>) -> sqlx::Result<u64> {
    let asked = sqlx::query(
        "UPDATE event_dead_letters SET retry_asked_at = now() WHERE $1 IS NULL OR event_id = $1",
    );
    Ok(asked.bind(event_id).execute(pool).await?.rows_affected())
}

/// Forgets dead events: one, or all. Says how many.
///
/// # Errors
/// When Postgres fails.
pub async fn forget(pool: &PgPool, event_id: Option<&str>) -> sqlx::Result<u64> {
    let forgotten = sqlx::query("DELETE FROM event_dead_letters WHERE $1 IS NULL OR event_id = $1");
    Ok(forgotten
        .bind(event_id)
        .execute(pool)
        .await?
        .rows_affected())
}
