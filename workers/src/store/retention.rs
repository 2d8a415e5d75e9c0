//! Removes rows of one slot that are past their time, a limited number at a time.

use holdfast_common::settings::{HoldSettings, RetentionSettings};
use sqlx::{FromRow, PgPool};

/// Rows of each kind that one statement removes.
const STEP_ROWS_MAX: i64 = 2000;

/// The ages at which rows are removed, in seconds.
#[derive(Clone, Copy, Debug)]
pub struct RetentionAges {
    keys: f64,
    ended: f64,
    /// The age at which orders and their holds lose their customer; `None` for never.
    customers: Option<f64>,
    /// In days.
    audit: i32,
}

impl RetentionAges {
    /// A row that has ended stays at least as long as the keys that may replay it. A customer stays at least as long as the
    /// outcomes, which name it, too.
    #[must_use]
    pub fn new(holds: &HoldSettings, settings: &RetentionSettings) -> Self {
        let days = |days: u32| f64::from(days) * 86_400.0;
        let keys = holds.idempotency_key_ttl.into();
        let ended = days(settings.retention_days).max(keys);
        let customers = settings
            .customer_retention_days
            .map(|kept| days(kept).max(ended));
        Self {
            keys,
            ended,
            customers,
            audit: settings.audit_retention_days.cast_signed(),
        }
    }
}

/// The number of rows that one step removed.
#[derive(Clone, Copy, Debug, FromRow)]
pub struct PruneStep {
    pub keys: i64,
    pub outcomes: i64,
    pub holds: i64,
    pub dead_letters: i64,
    pub audit: i64,
    pub customers: i64,
    pub events: i64,
}

impl PruneStep {
    /// Whether a table may have more rows to remove.
    #[must_use]
    pub fn has_more(&self) -> bool {
        let Self {
            keys,
            outcomes,
            holds,
            dead_letters,
            audit,
            customers,
            events,
        } = *self;
        [keys, outcomes, holds, dead_letters, audit, events].contains(&STEP_ROWS_MAX)
            || customers >= STEP_ROWS_MAX
    }
}

/// Removes rows of a slot that are past their time.
///
/// A hold with a payment stays, since the payment refers to it. Dead letters that are not settled stay. Orders and their
/// holds stay, and lose their customer. The program has no right to delete from the audit: `prune_audit`, which runs with
/// its owner's rights, deletes, and checks the age itself.
///
/// # Errors
/// When Postgres fails.
pub async fn step(pool: &PgPool, slot: u16, ages: RetentionAges) -> sqlx::Result<PruneStep> {
    sqlx::query_as(
        "WITH keys AS (
             DELETE FROM idempotency_keys WHERE slot = $1 AND (endpoint, key_hash, product_id) IN (
                 SELECT endpoint, key_hash, product_id FROM idempotency_keys
                 WHERE slot = $1 AND used_at < now() - make_interval(secs => $2) LIMIT $5)
             RETURNING 1),
         old_outcomes AS (
             DELETE FROM outcomes WHERE slot = $1 AND request_id IN (
                 SELECT request_id FROM outcomes
                 WHERE slot = $1 AND created_at < now() - make_interval(secs => $3) LIMIT $5)
             RETURNING 1),
         ended AS (
             DELETE FROM holds WHERE slot = $1 AND hold_id IN (
                 SELECT hold_id FROM holds
                 WHERE slot = $1 AND status IN ('released', 'expired') AND ended_at < now() - make_interval(secs => $3)
                     AND NOT EXISTS (
                         SELECT FROM payments WHERE payments.slot = holds.slot AND payments.order_id = holds.hold_id)
                 LIMIT $5)
             RETURNING 1),
         settled AS (
             DELETE FROM dead_letters WHERE slot = $1 AND dead_letter_id IN (
                 SELECT dead_letter_id FROM dead_letters
                 WHERE slot = $1 AND settled_at < now() - make_interval(secs => $3) LIMIT $5)
             RETURNING 1),
         forgotten_orders AS (
             UPDATE orders SET customer_id = NULL, customer_sealed = NULL WHERE slot = $1 AND order_id IN (
                 SELECT order_id FROM orders
                 WHERE slot = $1 AND customer_id IS NOT NULL AND settled_at < now() - make_interval(secs => $6) LIMIT $5)
             RETURNING 1),
         forgotten_holds AS (
             UPDATE holds SET customer_id = NULL, customer_sealed = NULL WHERE slot = $1 AND hold_id IN (
                 SELECT hold_id FROM holds
                 WHERE slot = $1 AND customer_id IS NOT NULL AND ended_at < now() - make_interval(secs => $6)
                     AND CASE status
                         WHEN 'consumed' THEN EXISTS (
                             SELECT FROM orders WHERE orders.slot = holds.slot AND order_id = hold_id
                                 AND settled_at < now() - make_interval(secs => $6))
                         ELSE EXISTS (
                             SELECT FROM payments WHERE payments.slot = holds.slot AND payments.order_id = hold_id)
                     END
                 LIMIT $5)
             RETURNING 1),
         old_events AS (
             DELETE FROM event_dead_letters WHERE slot = $1 AND (event_id, receiver) IN (
                 SELECT event_id, receiver FROM event_dead_letters
                 WHERE slot = $1 AND failed_at < now() - make_interval(days => $4) LIMIT $5)
             RETURNING 1)
         SELECT (SELECT count(*) FROM keys) AS keys, (SELECT count(*) FROM old_outcomes) AS outcomes,
             (SELECT count(*) FROM ended) AS holds, (SELECT count(*) FROM settled) AS dead_letters,
             (SELECT count(*) FROM forgotten_orders) + (SELECT count(*) FROM forgotten_holds) AS customers,
             (SELECT count(*) FROM old_events) AS events, prune_audit($1, $4, $5::integer) AS audit",
    )
    .bind(slot.cast_signed())
    .bind(ages.keys)
    .bind(ages.ended)
    .bind(ages.audit)
    .bind(STEP_ROWS_MAX)
    .bind(ages.customers)
    .fetch_one(pool)
    .await
}
