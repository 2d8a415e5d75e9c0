//! Writes which keys seal the database. [`holdfast_common::encryption::check`] reads it.

use holdfast_common::encryption::Keyring;
use sqlx::PgPool;

/// A worker that runs has signed the roster within this many seconds: it signs six times in a lease of at most 60 seconds.
const SIGNED_WITHIN_SECONDS: f64 = 15.0;

/// Records the index key by which the database will be sealed, unless one is recorded.
///
/// # Errors
/// When Postgres fails.
pub async fn begin(pool: &PgPool, keys: &Keyring) -> sqlx::Result<()> {
    let begin =
        "INSERT INTO encryption (index_check, is_whole) VALUES ($1, false) ON CONFLICT DO NOTHING";
    sqlx::query(begin)
        .bind(keys.index_check())
        .execute(pool)
        .await?;
    Ok(())
}

/// Records that everything is sealed.
///
/// # Errors
/// When Postgres fails, or [`begin`] was not called.
pub async fn end(pool: &PgPool) -> sqlx::Result<()> {
    let ended = sqlx::query("UPDATE encryption SET is_whole = true")
        .execute(pool)
        .await?;
    if ended.rows_affected() == 1 {
        Ok(())
    } else {
        Err(sqlx::Error::RowNotFound)
    }
}

/// Records that values may be sealed by the first key of the ring from now on.
///
/// # Errors
/// When Postgres fails.
pub async fn add_key(pool: &PgPool, keys: &Keyring) -> sqlx::Result<()> {
    let check = keys.checks().next();
    sqlx::query(
        "INSERT INTO encryption_keys (name, key_check) VALUES ($1, $2) ON CONFLICT DO NOTHING",
    )
    .bind(check.map(|(name, _)| name))
    .bind(check.map(|(_, check)| check))
    .execute(pool)
    .await?;
    Ok(())
}

/// Removes keys by which nothing is sealed any more.
///
/// # Errors
/// When Postgres fails.
pub async fn remove_keys(pool: &PgPool, names: &[String]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM encryption_keys WHERE name = ANY ($1)")
        .bind(names)
        .execute(pool)
        .await?;
    Ok(())
}

/// The workers that run, each with the name of the key by which it seals.
///
/// # Errors
/// When Postgres fails.
pub async fn workers(pool: &PgPool) -> sqlx::Result<Vec<(String, Option<String>)>> {
    sqlx::query_as(
        "SELECT owner, sealing_key FROM workers WHERE seen_at > now() - make_interval(secs => $1) ORDER BY owner",
    )
    .bind(SIGNED_WITHIN_SECONDS)
    .fetch_all(pool)
    .await
}

/// Takes every partition from its owner. A batch that is still in progress can't be committed any more.
///
/// # Errors
/// When Postgres fails.
pub async fn take_all_partitions(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE partitions SET epoch = epoch + 1, owner = NULL, lease_until = '-infinity'")
        .execute(pool)
        .await?;
    Ok(())
}
