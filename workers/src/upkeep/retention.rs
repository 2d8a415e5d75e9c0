//! Retention: removes rows that are past their time, slot by slot, so that no statement takes long.
//!
//! - Idempotency keys are removed after `IDEMPOTENCY_KEY_TTL`.
//! - Holds that ended without an order, outcomes and settled dead letters are removed after `RETENTION_DAYS`, and never
//!   before a key that may still replay them.
//! - The audit and event dead letters are removed after `AUDIT_RETENTION_DAYS`.
//! - Orders and payments stay. Orders and their holds lose the customer after `CUSTOMER_RETENTION_DAYS`.

use std::time::Duration;

use holdfast_common::id::SLOTS;
use serde::Serialize;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::retention::{self, PruneStep, RetentionAges};

/// A worker that has just started has more urgent work.
const PRUNE_FIRST_AFTER: Duration = Duration::from_secs(15 * 60);
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause between two slots, so that pruning takes little of Postgres's time.
const SLOT_PAUSE: Duration = Duration::from_millis(20);

/// The number of rows that were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    pub keys: u64,
    pub outcomes: u64,
    /// Holds that ended without an order.
    pub holds: u64,
    /// Dead letters that were settled.
    pub dead_letters: u64,
    /// Rows of the audit. Each has many changes.
    pub audit: u64,
    /// Event dead letters.
    pub events: u64,
    /// Orders and holds that lost their customer.
    pub customers: u64,
}

impl Pruned {
    fn add(&mut self, step: &PruneStep) {
        self.keys += step.keys.cast_unsigned();
        self.outcomes += step.outcomes.cast_unsigned();
        self.holds += step.holds.cast_unsigned();
        self.dead_letters += step.dead_letters.cast_unsigned();
        self.audit += step.audit.cast_unsigned();
        self.events += step.events.cast_unsigned();
        self.customers += step.customers.cast_unsigned();
    }
}

/// Prunes soon after the start and then daily, until the process stops. Several workers prune; that does no harm.
pub async fn run(pool: PgPool, ages: RetentionAges, stop: CancellationToken) {
    let mut turn = tokio::time::interval_at(Instant::now() + PRUNE_FIRST_AFTER, PRUNE_EVERY);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        let pruning = prune(&pool, ages, SLOT_PAUSE, |_| ());
        match stop.run_until_cancelled(pruning).await {
            Some(Ok(pruned)) => tracing::info!(?pruned, "old rows pruned"),
            Some(Err(error)) => {
                tracing::warn!(%error, "pruning old rows stopped; the next pruning is in a day")
            }
            None => return,
        }
    }
}

/// Prunes every slot. Calls `done` after each with the number of slots done.
///
/// # Errors
/// When Postgres fails. Rows that were removed before stay removed.
pub async fn prune(
    pool: &PgPool,
    ages: RetentionAges,
    pause: Duration,
    done: impl Fn(u16),
) -> sqlx::Result<Pruned> {
    let mut pruned = Pruned::default();
    for slot in 0..SLOTS {
        loop {
            let step = retention::step(pool, slot, ages).await?;
            pruned.add(&step);
            if !step.has_more() {
                break;
            }
        }
        done(slot + 1);
        tokio::time::sleep(pause).await;
    }
    Ok(pruned)
}
