//! Replies that were missed: what a worker has committed and not said any more is read from the rows.
//!
//! A worker that dies between its commit and its replies leaves requests that would wait for their whole time. Its
//! successor's first news shows it: the partition has another owner, or news was lost, and replies may have been, too. Then
//! all that wait for the partition are looked up at once, and those that have an outcome are told it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_common::partition::Partition;
use tokio::sync::Notify;

use crate::App;
use crate::commands::waiters::Answer;
use crate::metrics::METRICS;
use crate::store;

/// How many requests one statement looks up.
const LOOKED_UP_AT_ONCE: usize = 512;
/// How long that may take; whoever is not told then looks by itself when its wait ends.
const LOOK_WAIT: Duration = Duration::from_secs(2);

/// The partitions whose replies may have been missed.
#[derive(Debug, Default)]
pub struct Missed {
    partitions: Mutex<BTreeSet<Partition>>,
    noted: Notify,
}

impl Missed {
    /// Has a partition's requests looked up.
    pub fn note(&self, partition: Partition) {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partition);
        self.noted.notify_one();
    }

    fn take(&self) -> BTreeSet<Partition> {
        std::mem::take(
            &mut self
                .partitions
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// Looks up what was noted, for as long as the ingress lives.
pub async fn run(app: Arc<App>) {
    loop {
        app.missed.noted.notified().await;
        for partition in app.missed.take() {
            look_up(&app, partition).await;
        }
    }
}

async fn look_up(app: &App, partition: Partition) {
    let waiting = app
        .waiters
        .of(&app.settings.nats.partitions.slots(partition));
    for ids in waiting.chunks(LOOKED_UP_AT_ONCE) {
        match tokio::time::timeout(LOOK_WAIT, store::decisions(app.pool(), app.keys(), ids)).await {
            Ok(Ok(decisions)) => {
                METRICS.missed_replies.increment(decisions.len() as u64);
                for (request_id, decision) in decisions {
                    app.waiters.answer(request_id, Answer::Decision(decision));
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(%partition, %error, "missed replies could not be looked up")
            }
            Err(_) => {
                tracing::warn!(%partition, "missed replies could not be looked up in {LOOK_WAIT:?}")
            }
        }
    }
}
