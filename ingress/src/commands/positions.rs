//! The position up to which each partition is applied, as the workers' news reports it.
//!
//! Only for the `position` of a request that was just accepted, and for waits until a command is applied. A client that
//! polls gets the position in Postgres, which is never behind this one.

use std::sync::Mutex;
use std::sync::PoisonError;

use holdfast_common::messages::news::News;
use holdfast_common::partition::{Partition, Partitions};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::store::{self, LogPosition};

/// The newest known position of each partition.
pub struct AppliedPositions {
    positions: Vec<Mutex<LogPosition>>,
    progress: Notify,
}

impl AppliedPositions {
    /// Reads the positions from Postgres.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn load(pool: &PgPool, partitions: Partitions) -> sqlx::Result<Self> {
        let mut positions = vec![LogPosition::default(); usize::from(partitions.count())];
        for (partition, position) in store::positions(pool).await? {
            if let Some(entry) = positions.get_mut(usize::from(partition.0)) {
                *entry = position;
            }
        }
        Ok(Self {
            positions: positions.into_iter().map(Mutex::new).collect(),
            progress: Notify::new(),
        })
    }

    pub fn record_news(&self, news: &News) {
        let Some(position) = self.positions.get(usize::from(news.pulse.partition)) else {
            return;
        };
        let mut position = position.lock().unwrap_or_else(PoisonError::into_inner);
        let received = LogPosition {
            stream_created: news.stream_created,
            applied_seq: news.applied_seq,
        };
        *position = (*position).max(received);
        drop(position);
        self.progress.notify_waiters();
    }

    /// Ends when the position of any partition changes.
    pub fn progress(&self) -> Notified<'_> {
        self.progress.notified()
    }

    #[must_use]
    pub fn of(&self, partition: Partition) -> LogPosition {
        *self.positions[usize::from(partition.0)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
