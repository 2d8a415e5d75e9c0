//! What the database says about its keys, as sealing it changes that. What is read of it: [`holdfast_common::encryption::check`].

use holdfast_common::encryption::Keyring;
use sqlx::PgPool;

/// Every worker signs the roster at least this often, in seconds: a sixth of its lease, of at most 60.
const SIGNED_WITHIN_SECONDS: f64 = 15.0;

/// Says by which index key the database is to be sealed, unless it says so already.
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

/// Says that everything is sealed.
///
/// # Errors
/// When Postgres fails.
pub async fn end(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE encryption SET is_whole = true WHERE NOT is_whole")
        .execute(pool)
        .await?;
    Ok(())
}

/// Notes that values may be sealed by the key that seals, from now on.
///
/// # Errors
/// When Postgres fails.
pub async fn know(pool: &PgPool, keys: &Keyring) -> sqlx::Result<()> {
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

/// Notes that nothing is sealed by some keys any more.
///
/// # Errors
/// When Postgres fails.
pub async fn forget(pool: &PgPool, names: &[String]) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM encryption_keys WHERE name = ANY ($1)")
        .bind(names)
        .execute(pool)
        .await?;
    Ok(())
}

/// The workers that are there, each with the name of the key by which it seals.
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

/// Takes every partition from whoever has it: a batch that is still on its way somewhere can't be committed any more.
///
/// # Errors
/// When Postgres fails.
pub async fn take_partitions_away(pool: &PgPool) -> sqlx::Result<()> {
    sqlx::query("UPDATE partitions SET epoch = epoch + 1, owner = NULL, lease_until = '-infinity'")
        .execute(pool)
        .await?;
    Ok(())
}
