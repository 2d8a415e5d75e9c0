//! Removes rows of one slot that are past their time, a bounded number at a time.

use holdfast_common::settings::RetentionSettings;
use sqlx::PgPool;

/// The most rows that one statement removes.
const STEP_ROWS_MAX: i64 = 2000;

/// How old rows have to be, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct Ages {
    keys: f64,
    ended: f64,
    /// In days.
    audit: i32,
}

impl Ages {
    /// Keys go after their own time, what has ended after these days and after the keys that may replay it.
    #[must_use]
    pub fn new(settings: &RetentionSettings) -> Self {
        let (keys, days) = (settings.idempotency_key_ttl.into(), f64::from(settings.retention_days) * 86_400.0);
        Self { keys, ended: days.max(keys), audit: settings.audit_retention_days.cast_signed() }
    }
}

/// Removes idempotency keys.
///
/// # Errors
/// When Postgres fails.
pub async fn keys(pool: &PgPool, slot: u16, ages: Ages) -> sqlx::Result<u64> {
    let statement = "DELETE FROM idempotency_keys WHERE slot = $1 AND (endpoint, key_hash, product_id) IN (
             SELECT endpoint, key_hash, product_id FROM idempotency_keys
             WHERE slot = $1 AND used_at < now() - make_interval(secs => $2) LIMIT $3)";
    steps(pool, statement, slot, ages.keys).await
}

/// Removes outcomes.
///
/// # Errors
/// When Postgres fails.
pub async fn outcomes(pool: &PgPool, slot: u16, ages: Ages) -> sqlx::Result<u64> {
    let statement = "DELETE FROM outcomes WHERE slot = $1 AND request_id IN (
             SELECT request_id FROM outcomes
             WHERE slot = $1 AND created_at < now() - make_interval(secs => $2) LIMIT $3)";
    steps(pool, statement, slot, ages.ended).await
}

/// Removes holds that ended without an order. One with a payment stays, to tell what the payment was for.
///
/// # Errors
/// When Postgres fails.
pub async fn holds(pool: &PgPool, slot: u16, ages: Ages) -> sqlx::Result<u64> {
    let statement = "DELETE FROM holds WHERE slot = $1 AND hold_id IN (
             SELECT hold_id FROM holds
             WHERE slot = $1 AND status IN ('released', 'expired') AND ended_at < now() - make_interval(secs => $2)
                 AND NOT EXISTS (
                     SELECT FROM payments WHERE payments.slot = holds.slot AND payments.order_id = holds.hold_id)
             LIMIT $3)";
    steps(pool, statement, slot, ages.ended).await
}

/// Removes dead letters that were settled; those that wait stay.
///
/// # Errors
/// When Postgres fails.
pub async fn dead_letters(pool: &PgPool, slot: u16, ages: Ages) -> sqlx::Result<u64> {
    let statement = "DELETE FROM dead_letters WHERE slot = $1 AND dead_letter_id IN (
             SELECT dead_letter_id FROM dead_letters
             WHERE slot = $1 AND settled_at < now() - make_interval(secs => $2) LIMIT $3)";
    steps(pool, statement, slot, ages.ended).await
}

/// Removes what the audit says of long ago. Nobody may delete from it: a function of its owner does, and looks at its age.
///
/// # Errors
/// When Postgres fails.
pub async fn audit(pool: &PgPool, slot: u16, ages: Ages) -> sqlx::Result<u64> {
    let mut removed = 0;
    loop {
        let step: i64 = sqlx::query_scalar("SELECT prune_audit($1, $2, $3::integer)")
            .bind(slot.cast_signed())
            .bind(ages.audit)
            .bind(STEP_ROWS_MAX)
            .fetch_one(pool)
            .await?;
        removed += step.cast_unsigned();
        if step < STEP_ROWS_MAX {
            return Ok(removed);
        }
    }
}

async fn steps(pool: &PgPool, statement: &'static str, slot: u16, age: f64) -> sqlx::Result<u64> {
    let mut removed = 0;
    loop {
        let step = sqlx::query(statement).bind(slot.cast_signed()).bind(age).bind(STEP_ROWS_MAX).execute(pool).await?;
        removed += step.rows_affected();
        if step.rows_affected() < STEP_ROWS_MAX.cast_unsigned() {
            return Ok(removed);
        }
    }
}
