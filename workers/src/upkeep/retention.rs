//! Retention: what has ended long ago is removed, slot by slot, so that no step takes long.
//!
//! Idempotency keys go after their time; holds that ended without an order, and outcomes, after `RETENTION_DAYS` and
//! never before a key that may still replay them; the audit, and events that a receiver did not take, after
//! `AUDIT_RETENTION_DAYS`. Orders and payments stay; after `CUSTOMER_RETENTION_DAYS` they don't say whose they were.

use std::sync::Arc;
use std::time::Duration;

use holdfast_common::id::SLOTS;
use serde::Serialize;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::store::retention::{self, Ages, Step};

/// A worker that has just started has more urgent things to do.
const PRUNE_FIRST_AFTER: Duration = Duration::from_secs(15 * 60);
const PRUNE_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// The pause between two slots when nobody waits for the end.
const SLOT_PAUSE: Duration = Duration::from_millis(20);

/// How many rows were removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Idempotency keys.
    pub keys: u64,
    /// Outcomes.
    pub outcomes: u64,
    /// Holds that ended without an order.
    pub holds: u64,
    /// Dead letters that were settled.
    pub dead_letters: u64,
    /// Rows of the audit, each of many changes.
    pub audit: u64,
    /// Events that a receiver did not take.
    pub events: u64,
    /// Orders and holds that lost their customer.
    pub customers: u64,
}

impl Pruned {
    fn add(&mut self, step: &Step) {
        self.keys += step.keys.cast_unsigned();
        self.outcomes += step.outcomes.cast_unsigned();
        self.holds += step.holds.cast_unsigned();
        self.dead_letters += step.dead_letters.cast_unsigned();
        self.audit += step.audit.cast_unsigned();
        self.events += step.events.cast_unsigned();
        self.customers += step.customers.cast_unsigned();
    }
}

/// Prunes soon after the start and then daily, until the process stops. Several workers doing so do no harm.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let ages = Ages::new(&worker.settings.holds, &worker.settings.worker.retention);
    let mut turn = tokio::time::interval_at(Instant::now() + PRUNE_FIRST_AFTER, PRUNE_EVERY);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        match stop
            .run_until_cancelled(prune(&worker.pool, ages, SLOT_PAUSE, |_| ()))
            .await
        {
            Some(Ok(pruned)) => tracing::info!(?pruned, "old rows pruned"),
            Some(Err(error)) => tracing::warn!(%error, "pruning stopped, tomorrow it goes on"),
            None => return,
        }
    }
}

/// Prunes every slot, and tells after each how many are done.
///
/// # Errors
/// When Postgres fails; what was removed until then stays removed.
pub async fn prune(
    pool: &PgPool,
    ages: Ages,
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
