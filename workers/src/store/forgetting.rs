//! Removes a customer from outcomes and settled dead letters, which are copies. Commands in the log remove the customer
//! from holds and orders.

use sqlx::PgPool;
use uuid::Uuid;

/// Removes the customer from outcomes, each given by its slot and request. Returns how many had one.
///
/// # Errors
/// When Postgres fails.
pub async fn outcomes(pool: &PgPool, named: &[(i16, Uuid)]) -> sqlx::Result<u64> {
    let erased = sqlx::query(
        "UPDATE outcomes SET outcome = jsonb_set(outcome::jsonb, ARRAY[kind, 'customer_id'], 'null')::json
         FROM UNNEST($1::smallint[], $2::uuid[]) AS named (slot, id),
             UNNEST(ARRAY['HoldCreated', 'HoldReleased', 'OrderCreated']) AS kind
         WHERE outcomes.slot = named.slot AND request_id = id AND outcome #>> ARRAY[kind, 'customer_id'] IS NOT NULL",
    )
    .bind(named.iter().map(|(slot, _)| *slot).collect::<Vec<_>>())
    .bind(named.iter().map(|(_, id)| *id).collect::<Vec<_>>())
    .execute(pool)
    .await?;
    Ok(erased.rows_affected())
}

/// Removes those of the dead letters that are settled. Returns their number.
///
/// # Errors
/// When Postgres fails.
pub async fn letters(pool: &PgPool, ids: &[i64]) -> sqlx::Result<u64> {
    let removed = sqlx::query(
        "DELETE FROM dead_letters WHERE dead_letter_id = ANY ($1) AND settled_at IS NOT NULL",
    )
    .bind(ids)
    .execute(pool)
    .await?;
    Ok(removed.rows_affected())
}
