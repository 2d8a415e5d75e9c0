//! Keeps the log short: removes the envelopes that every partition has applied.
//!
//! JetStream forgets an envelope's id when the envelope is removed. If that happens within the deduplication window, a
//! repeated publish is stored as a second envelope. So a position is purged only when all partitions passed it at least
//! one window ago. Several workers purge; that does no harm.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::jetstream::Context;
use chrono::{DateTime, Utc};
use holdfast_common::log::stream::{self, DUPLICATE_WINDOW};
use holdfast_common::settings::NatsSettings;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::store::lease;

const PURGE_EVERY: Duration = Duration::from_secs(10);
/// A little longer than the window: JetStream counts it from its own time of the publish.
const PASSED_FOR: Duration = DUPLICATE_WINDOW.saturating_add(Duration::from_secs(5));

pub struct LogPurge {
    pub pool: PgPool,
    pub jetstream: Context,
    pub nats: NatsSettings,
}

/// A position that all partitions had passed at a time.
struct PassedPosition {
    since: Instant,
    stream_created: DateTime<Utc>,
    sequence: u64,
}

impl LogPurge {
    /// Purges until the process stops.
    pub async fn run(self, stop: CancellationToken) {
        // One entry for each PURGE_EVERY of PASSED_FOR, so a dozen.
        let mut passed = VecDeque::new();
        let mut turn = tokio::time::interval(PURGE_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turn.tick()).await.is_some() {
            if let Err(error) = self.purge(&mut passed).await {
                tracing::warn!(%error, "the log could not be purged; it is purged again in 10 seconds");
            }
        }
    }

    async fn purge(&self, passed: &mut VecDeque<PassedPosition>) -> anyhow::Result<()> {
        let stream = stream::open(&self.jetstream, &self.nats).await?;
        let stream_created = stream.cached_info().created;
        // Positions in a stream that was removed mean nothing in this one.
        passed.retain(|position| position.stream_created == stream_created);
        let partitions = self.nats.partitions;
        if let Some(sequence) = lease::passed_by_all(&self.pool, partitions, stream_created).await?
        {
            passed.push_back(PassedPosition {
                since: Instant::now(),
                stream_created,
                sequence,
            });
        }
        let mut purgeable = None;
        while passed
            .front()
            .is_some_and(|position| position.since.elapsed() >= PASSED_FOR)
        {
            purgeable = passed.pop_front();
        }
        if let Some(position) = purgeable {
            // JetStream removes everything below this sequence, and keeps the message itself.
            let below = position.sequence;
            let purged = stream.purge().sequence(below).await?.purged;
            tracing::debug!(below, purged, "log purged");
        }
        Ok(())
    }
}
