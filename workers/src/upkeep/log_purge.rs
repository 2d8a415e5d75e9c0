//! Keeps the log short: removes what every partition has applied.
//!
//! JetStream forgets an envelope's id when the envelope is removed, so nothing younger than the deduplication window
//! may go: a repeated publish would be a second envelope. Each position is therefore purged only after it has been
//! known for that long.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use holdfast_common::log::stream::{self, DUPLICATE_WINDOW};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::store::lease;

const PURGE_EVERY: Duration = Duration::from_secs(10);
/// Positions are kept a little longer than the window.
const KNOWN_FOR: Duration = DUPLICATE_WINDOW.saturating_add(Duration::from_secs(5));

/// A position that all partitions had passed when it was noted.
struct Passed {
    noted: Instant,
    stream_created: chrono::DateTime<chrono::Utc>,
    sequence: u64,
}

/// Purges until the process stops. Several workers doing so do no harm.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    // One entry every PURGE_EVERY, and none older than KNOWN_FOR but the one about to go.
    let mut passed = VecDeque::new();
    let mut turn = tokio::time::interval(PURGE_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        if let Err(error) = purge(&worker, &mut passed).await {
            tracing::warn!(%error, "the log could not be purged, will try again");
        }
    }
}

async fn purge(worker: &Worker, passed: &mut VecDeque<Passed>) -> anyhow::Result<()> {
    let stream = stream::open(&worker.jetstream, &worker.settings.nats).await?;
    let stream_created = stream.cached_info().created;
    passed.retain(|position| position.stream_created == stream_created);
    if let Some(sequence) = lease::passed_by_all(
        &worker.pool,
        worker.settings.nats.partitions,
        stream_created,
    )
    .await?
    {
        passed.push_back(Passed {
            noted: Instant::now(),
            stream_created,
            sequence,
        });
    }
    let mut last_known = None;
    while passed
        .front()
        .is_some_and(|position| position.noted.elapsed() >= KNOWN_FOR)
    {
        last_known = passed.pop_front();
    }
    if let Some(position) = last_known {
        // Removes everything below this sequence.
        let purged = stream.purge().sequence(position.sequence).await?;
        tracing::debug!(
            below = position.sequence,
            purged = purged.purged,
            "log purged"
        );
    }
    Ok(())
}
