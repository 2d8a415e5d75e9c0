//! Which partitions this process has.
//!
//! It takes those that nobody has, renews the leases of its own, and runs a task for each. A task ends when another
//! worker has its partition; until then the row's epoch keeps both from applying at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::store::lease;
use crate::{Worker, partition};

/// How many times within a lease the process looks after its partitions.
const TURNS_A_LEASE: u32 = 6;

/// Looks after partitions until the process stops; then each is given back once its last batch has ended.
///
/// # Errors
/// When the partition rows can't be made at the start, or a partition's task panicked.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) -> anyhow::Result<()> {
    lease::create_rows(&worker.pool, worker.settings.nats.partitions).await?;
    let mut turn = tokio::time::interval(worker.lease() / TURNS_A_LEASE);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut tasks = JoinSet::new();
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        while let Some(ended) = tasks.try_join_next() {
            ended?;
        }
        if let Err(error) = look_after(&worker, &mut tasks, &stop).await {
            tracing::warn!(%error, "partitions could not be looked after, will try again");
        }
    }
    while let Some(ended) = tasks.join_next().await {
        ended?;
    }
    Ok(())
}

async fn look_after(worker: &Arc<Worker>, tasks: &mut JoinSet<()>, stop: &CancellationToken) -> sqlx::Result<()> {
    let lease: Duration = worker.lease();
    lease::renew(&worker.pool, &worker.owner, lease).await?;
    for taken in lease::take_free(&worker.pool, &worker.owner, lease).await? {
        let (worker, stop) = (Arc::clone(worker), stop.clone());
        tasks.spawn(async move { partition::run(&worker, taken, stop).await });
    }
    Ok(())
}
