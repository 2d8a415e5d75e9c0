//! The backstop: every 5 seconds it finds the partitions of this worker with overdue rows, and requests their expiry.
//!
//! Tickets can be lost with NATS's store, or come late after a crash. The tables lose nothing.

use std::time::Duration;

use holdfast_common::partition::Partitions;
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;

use crate::expiry::requests::ExpiryRequests;
use crate::store::load::due;

const CHECK_EVERY: Duration = Duration::from_secs(5);

pub struct Backstop {
    pub pool: PgPool,
    pub owner: String,
    pub partitions: Partitions,
    pub expiry: ExpiryRequests,
}

impl Backstop {
    /// Checks until the process stops.
    pub async fn run(self, stop: CancellationToken) {
        let mut turn = tokio::time::interval(CHECK_EVERY);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(turn.tick()).await.is_some() {
            if let Err(error) = self.check().await {
                tracing::warn!(%error, "the search for overdue holds and orders failed; it is repeated in 5 seconds");
            }
        }
    }

    async fn check(&self) -> Result<(), async_nats::Error> {
        let overdue = due::overdue_partitions(&self.pool, &self.owner, self.partitions).await?;
        for (partition, now) in overdue {
            let occasion = format!("overdue-{}", now.0);
            self.expiry.request(partition, &occasion).await?;
        }
        Ok(())
    }
}
