//! Wakes the event publisher of a partition after a commit.

use holdfast_common::partition::{Partition, Partitions};
use tokio::sync::Notify;

pub struct CommitSignals {
    partitions: Vec<Notify>,
}

impl CommitSignals {
    #[must_use]
    pub fn new(partitions: Partitions) -> Self {
        Self {
            partitions: partitions.all().map(|_| Notify::new()).collect(),
        }
    }

    /// Does not wait. Without a publisher it has no effect.
    pub fn notify(&self, partition: Partition) {
        if let Some(partition) = self.partitions.get(usize::from(partition.0)) {
            partition.notify_one();
        }
    }

    pub(crate) async fn wait(&self, partition: Partition) {
        match self.partitions.get(usize::from(partition.0)) {
            Some(partition) => partition.notified().await,
            None => std::future::pending().await,
        }
    }
}
