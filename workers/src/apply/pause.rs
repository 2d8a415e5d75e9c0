//! Why a partition's task stops applying, for a while or for good. Next: [`crate::apply::partition`] handles it.

use std::sync::Arc;

use holdfast_common::log::LogError;
use sqlx::PgPool;

use crate::apply::error::BatchError;
use crate::apply::reader::ReadError;
use crate::store::lease::{self, Lease};

/// Why the partition's task stops applying, for a while or for good.
pub(crate) enum Pause {
    /// The process stops.
    Stop,
    /// Another worker owns the partition.
    Replaced,
    Postgres(sqlx::Error),
    Batch(Arc<BatchError>),
    ReadLog(ReadError),
    OpenLog(LogError),
    /// This worker's own commit succeeded although an error was reported: continue from the row in the table.
    Moved(Lease),
}

impl Pause {
    /// Finds why the fence did not hold: another worker owns the partition, or this worker's own commit went through.
    pub(crate) async fn after_fence(pool: &PgPool, lease: &Lease) -> Self {
        match lease::read_own(pool, lease).await {
            Ok(row) => row.map_or(Self::Replaced, Self::Moved),
            Err(error) => Self::Postgres(error),
        }
    }
}

impl From<sqlx::Error> for Pause {
    fn from(error: sqlx::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Arc<BatchError>> for Pause {
    fn from(error: Arc<BatchError>) -> Self {
        Self::Batch(error)
    }
}

impl From<ReadError> for Pause {
    fn from(error: ReadError) -> Self {
        Self::ReadLog(error)
    }
}
