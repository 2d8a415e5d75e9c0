//! Which partitions this process has.
//!
//! Every worker signs a roster, and so computes for itself how many partitions are its share. It takes so many of those
//! that nobody has, renews the leases of its own, runs a task for each, and gives back what is above its share. None of
//! it is needed for what is right: the row's epoch keeps two workers from applying at once, whatever they believe.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::{FutureExt, StreamExt};
use holdfast_common::encryption;
use holdfast_common::partition::Partition;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::apply::partition;
use crate::events::publisher;
use crate::store::lease::{self, Lease};
use crate::store::roster::{self, Signed};

/// How many times within a lease the process looks after its partitions.
const TURNS_A_LEASE: u32 = 6;

/// Looks after partitions until the process stops; then each is given back once its last batch has ended.
///
/// # Errors
/// When the partition rows can't be made at the start, NATS does not take a subscription, or the database is sealed by
/// other keys than ours.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) -> anyhow::Result<()> {
    lease::create_rows(&worker.pool, worker.settings.nats.partitions).await?;
    let mut given_back = worker
        .nats
        .subscribe(worker.settings.nats.subjects.given_back())
        .await?;
    let mut turn = tokio::time::interval(worker.lease() / TURNS_A_LEASE);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut owned = Owned {
        worker: Arc::clone(&worker),
        tasks: JoinSet::new(),
        running: HashMap::new(),
        is_sealed_otherwise: false,
    };
    let ended = loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break Ok(()),
            Some(ended) = owned.tasks.join_next_with_id() => owned.ended(ended).await,
            // A hint: whoever misses it looks at its next turn. One look is for all that have come.
            Some(_) = given_back.next() => {
                while given_back.next().now_or_never().flatten().is_some() {}
                owned.look_after().await;
            }
            _ = turn.tick() => owned.look_after().await,
        }
        if owned.is_sealed_otherwise {
            // What to do about it is what the look before the start would have said.
            break encryption::check::check(&worker.pool, &worker.keys).await;
        }
    };
    // First the roster, so that what is given back is within the others' shares.
    if let Err(error) = roster::leave(&worker.pool, &worker.owner, worker.lease()).await {
        tracing::warn!(%error, "the roster could not be left; the others will notice");
    }
    owned.give_back_all().await;
    Ok(ended?)
}

/// The partitions of this process, each with the task that applies its commands.
struct Owned {
    worker: Arc<Worker>,
    tasks: JoinSet<()>,
    running: HashMap<Id, Running>,
    /// Whether the database was found to be sealed by other keys than ours: nothing may be written to it.
    is_sealed_otherwise: bool,
}

/// A partition's task.
struct Running {
    partition: Partition,
    epoch: i64,
    stop: CancellationToken,
}

impl Owned {
    async fn look_after(&mut self) {
        if let Err(error) = self.try_look_after().await {
            tracing::warn!(%error, "partitions could not be looked after, will try again");
        }
    }

    async fn try_look_after(&mut self) -> sqlx::Result<()> {
        let (pool, owner, lease) = (&self.worker.pool, &self.worker.owner, self.worker.lease());
        let asked_at = Instant::now();
        lease::renew(pool, owner, lease).await?;
        let ours = lease::owned(pool, owner).await?;
        // One that was taken from us while this process hung may not have noticed yet.
        for lost in self
            .running
            .values()
            .filter(|running| !ours.contains(&(running.partition, running.epoch)))
        {
            lost.stop.cancel();
            self.worker.pulses.end(lost.partition, lost.epoch);
        }
        // One that is ours and has no task could not be given back when its task ended; nobody else would ever have it.
        for (orphan, _) in ours
            .iter()
            .filter(|(partition, _)| self.has_no_task(*partition))
        {
            tracing::warn!(partition = %orphan, "the partition has no task here, give it up");
            lease::give_up(pool, owner, *orphan).await?;
        }
        let Signed {
            now,
            roster,
            is_sealed_alike,
        } = roster::sign(pool, &self.worker.keys, owner, lease).await?;
        self.is_sealed_otherwise = !is_sealed_alike;
        if self.is_sealed_otherwise {
            return Ok(());
        }
        self.worker.pulses.confirm(asked_at, now);
        let partitions = self.worker.settings.nats.partitions;
        let share = share(partitions.count(), &roster, owner);
        let kept = self.kept().count();
        if kept < share {
            let free = i64::try_from(share - kept).unwrap_or(i64::MAX);
            for taken in lease::take_free(pool, owner, lease, partitions, free).await? {
                self.start(taken);
            }
        } else {
            self.give_back(kept - share);
        }
        Ok(())
    }

    fn start(&mut self, taken: Lease) {
        let (worker, stop) = (Arc::clone(&self.worker), CancellationToken::new());
        let running = Running {
            partition: taken.partition,
            epoch: taken.epoch,
            stop: stop.clone(),
        };
        let publishing = publisher::start(&worker, taken.partition);
        let task = self.tasks.spawn(async move {
            partition::run(&worker, taken, stop).await;
            // Only whoever has the partition need publish its events.
            drop(publishing);
        });
        self.running.insert(task.id(), running);
    }

    fn has_no_task(&self, partition: Partition) -> bool {
        self.running
            .values()
            .all(|running| running.partition != partition)
    }

    fn kept(&self) -> impl Iterator<Item = &Running> {
        self.running
            .values()
            .filter(|running| !running.stop.is_cancelled())
    }

    /// Lets go of so many partitions, the highest first. Each ends its batch before.
    fn give_back(&mut self, count: usize) {
        let mut kept: Vec<_> = self.kept().collect();
        kept.sort_unstable_by_key(|running| std::cmp::Reverse(running.partition));
        for running in kept.into_iter().take(count) {
            tracing::info!(partition = %running.partition, "more partitions than our share, give it back");
            running.stop.cancel();
        }
    }

    /// A task has ended: it has given its partition back or was replaced. One that panicked is a bug of ours, and its
    /// partition is somebody's again at the next turn.
    async fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(Running {
            partition, epoch, ..
        }) = self.running.remove(&id)
        else {
            return;
        };
        let Err(error) = ended else { return };
        self.worker.pulses.end(partition, epoch);
        tracing::error!(%partition, %error, "a partition's task panicked; the partition is given back");
        if let Err(error) = lease::give_up(&self.worker.pool, &self.worker.owner, partition).await {
            tracing::warn!(%partition, %error, "the partition could not be given back");
        }
    }

    async fn give_back_all(mut self) {
        self.running
            .values()
            .for_each(|running| running.stop.cancel());
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.ended(ended).await;
        }
    }
}

/// How many of so many partitions are one worker's: as even as can be, what is left over to the first of the roster.
fn share(partitions: u16, roster: &[String], owner: &str) -> usize {
    let (partitions, workers) = (usize::from(partitions), roster.len().max(1));
    let rank = roster
        .iter()
        .position(|other| other == owner)
        .unwrap_or(workers);
    partitions / workers + usize::from(rank < partitions % workers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_add_up() {
        for (partitions, workers) in [(16, 1), (16, 3), (4, 3), (2, 5), (4096, 7)] {
            let roster: Vec<String> = (0..workers)
                .map(|worker| format!("worker-{worker}"))
                .collect();
            let shares: Vec<_> = roster
                .iter()
                .map(|owner| share(partitions, &roster, owner))
                .collect();
            assert_eq!(shares.iter().sum::<usize>(), usize::from(partitions));
            assert!(
                shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1,
                "{shares:?}"
            );
        }
        assert_eq!(
            share(16, &[], "me"),
            16,
            "whoever is not on it yet is alone"
        );
    }
}
