//! The backstop: every 5 seconds, what is overdue in our partitions is ended from the table itself.
//!
//! Tickets can be lost with the store of NATS, or come late after a crash. The table forgets nothing.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::store::overdue;

const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Looks until the process stops.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        if let Err(error) = look(&worker).await {
            tracing::warn!(%error, "what is overdue could not be looked for, will try again");
        }
    }
}

async fn look(worker: &Worker) -> Result<(), async_nats::Error> {
    let overdue =
        overdue::partitions(&worker.pool, &worker.owner, worker.settings.nats.partitions).await?;
    for (partition, now) in overdue {
        super::ask(worker, partition, &format!("overdue-{}", now.0)).await?;
    }
    Ok(())
}
