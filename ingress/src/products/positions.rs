//! How far each partition is applied, as the workers' news tell it.
//!
//! Only for the place in line of a request that is just accepted; whoever polls later is told from the table, which is
//! never behind this.

use std::sync::Mutex;
use std::sync::PoisonError;

use holdfast_common::messages::news::News;
use holdfast_common::partition::{Partition, Partitions};
use sqlx::PgPool;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::store;
use crate::store::Position;

/// The newest known position of each partition.
pub struct Positions {
    known: Vec<Mutex<Position>>,
    moved: Notify,
}

impl Positions {
    /// Starts from what is in the table.
    ///
    /// # Errors
    /// When Postgres fails.
    pub async fn load(pool: &PgPool, partitions: Partitions) -> sqlx::Result<Self> {
        let mut known = vec![Position::default(); usize::from(partitions.count())];
        for (partition, position) in store::positions(pool).await? {
            if let Some(place) = known.get_mut(usize::from(partition.0)) {
                *place = position;
            }
        }
        Ok(Self {
            known: known.into_iter().map(Mutex::new).collect(),
            moved: Notify::new(),
        })
    }

    /// Learns from the news.
    pub fn learn(&self, news: &News) {
        let Some(known) = self.known.get(usize::from(news.pulse.partition)) else {
            return;
        };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        let told = Position {
            stream_created: news.stream_created,
            applied_seq: news.applied_seq,
        };
        *known = (*known).max(told);
        drop(known);
        self.moved.notify_waiters();
    }

    /// Ends once some partition has moved.
    pub fn moved(&self) -> Notified<'_> {
        self.moved.notified()
    }

    /// How far a partition is known to be applied.
    #[must_use]
    pub fn of(&self, partition: Partition) -> Position {
        *self.known[usize::from(partition.0)]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
