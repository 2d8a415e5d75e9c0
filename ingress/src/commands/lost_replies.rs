//! Outcomes whose reply did not arrive: the ingress reads them from Postgres.
//!
//! A worker that dies between its commit and its replies leaves requests that would wait until their timeout. The first
//! news of the next owner shows it: the partition's epoch has changed, or a news number is missing, so replies may be
//! missing too. Then the ingress reads the outcomes of all requests that wait for this partition. A request without an
//! outcome in Postgres keeps waiting: the new owner applies its command again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use holdfast_common::encryption::Keyring;
use holdfast_common::partition::{Partition, Partitions};
use sqlx::PgPool;
use tokio::sync::Notify;

use crate::commands::waiters::Waiters;
use crate::metrics::METRICS;
use crate::store;

/// The most requests in one SQL statement.
const REQUESTS_MAX: usize = 512;
/// The timeout of one statement. After it, each request reads its own row when its wait ends.
const READ_WAIT: Duration = Duration::from_secs(2);

/// The partitions whose replies may be lost.
#[derive(Debug, Default)]
pub struct LostReplies {
    partitions: Mutex<BTreeSet<Partition>>,
    added: Notify,
}

impl LostReplies {
    /// Marks a partition, so that [`Recovery::run`] reads the outcomes of its waiting requests.
    pub fn add(&self, partition: Partition) {
        self.partitions
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(partition);
        self.added.notify_one();
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

/// The task that reads lost outcomes.
pub struct Recovery {
    pub lost: Arc<LostReplies>,
    pub waiters: Arc<Waiters>,
    pub pool: PgPool,
    pub keys: Keyring,
    pub partitions: Partitions,
}

impl Recovery {
    pub async fn run(self) {
        loop {
            self.lost.added.notified().await;
            for partition in self.lost.take() {
                self.recover(partition).await;
            }
        }
    }

    async fn recover(&self, partition: Partition) {
        let waiting = self.waiters.in_slots(&self.partitions.slots(partition));
        for ids in waiting.chunks(REQUESTS_MAX) {
            let read = store::decisions(&self.pool, &self.keys, ids);
            match tokio::time::timeout(READ_WAIT, read).await {
                Ok(Ok(decisions)) => {
                    METRICS.missed_replies.increment(decisions.len() as u64);
                    for (request_id, decision) in decisions {
                        self.waiters.complete(request_id, Ok(decision));
                    }
                }
                Ok(Err(error)) => {
                    tracing::warn!(
                        %partition, requests = ids.len(), %error,
                        "reading lost outcomes failed; each request reads its own when its wait ends"
                    );
                }
                Err(_) => tracing::warn!(
                    %partition, requests = ids.len(), timeout = ?READ_WAIT,
                    "reading lost outcomes timed out; each request reads its own when its wait ends"
                ),
            }
        }
    }
}
