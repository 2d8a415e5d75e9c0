//! Which partitions this process owns.
//!
//! Every worker signs a roster, and computes from it how many partitions are its share. It takes free partitions up to its
//! share, renews its leases, runs a task for each partition, and gives back what exceeds its share. Correctness does not
//! depend on any of this: the epoch in the partition's row prevents commits of two workers at once (see
//! [`crate::store::fence`]).

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use holdfast_common::encryption::{self, Keyring};
use holdfast_common::partition::{Partition, Partitions};
use sqlx::PgPool;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::announce::Announcer;
use crate::apply::partition::PartitionRunner;
use crate::events::publisher::EventPublisher;
use crate::store::lease::{self, Lease};
use crate::store::roster::{self, SignedRoster};

/// Turns in each lease. So several turns may fail before a lease ends.
const TURNS_PER_LEASE: u32 = 6;

/// Owns partitions on behalf of the process.
pub struct Ownership {
    pub pool: PgPool,
    pub keys: Keyring,
    /// The unique name of this process.
    pub owner: String,
    pub lease: Duration,
    pub partitions: Partitions,
    pub announcer: Arc<Announcer>,
    pub runner: Arc<PartitionRunner>,
    /// `None` when events are off.
    pub publisher: Option<Arc<EventPublisher>>,
}

/// The partitions of this process, each with the task that applies its commands.
struct OwnedPartitions {
    ownership: Ownership,
    tasks: JoinSet<()>,
    running: HashMap<Id, RunningPartition>,
    /// The database is sealed by other keys: this process must not write to it.
    has_other_keys: bool,
}

struct RunningPartition {
    partition: Partition,
    epoch: i64,
    stop: CancellationToken,
}

impl Ownership {
    /// Owns partitions until the process stops. Then each is given back after its last batch.
    ///
    /// # Errors
    /// When the partition rows can't be created, NATS refuses a subscription, or the database is sealed by other keys.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        lease::create_rows(&self.pool, self.partitions).await?;
        let mut given_back = self.announcer.subscribe_given_back().await?;
        let mut turn = tokio::time::interval(self.lease / TURNS_PER_LEASE);
        turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut owned = OwnedPartitions {
            ownership: self,
            tasks: JoinSet::new(),
            running: HashMap::new(),
            has_other_keys: false,
        };
        let ended = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(ended) = owned.tasks.join_next_with_id() => owned.clean_up(ended).await,
                // A hint: without it the next turn finds the free partition. One turn serves all hints that have arrived.
                Some(_) = given_back.next() => {
                    while given_back.next().now_or_never().flatten().is_some() {}
                    owned.take_turn().await;
                }
                _ = turn.tick() => owned.take_turn().await,
            }
            if owned.has_other_keys {
                // The check at the start returns this error, with a text for the operator.
                let Ownership { pool, keys, .. } = &owned.ownership;
                break encryption::check::check(pool, keys).await;
            }
        };
        // The roster first, so that the other workers' shares already include what is given back.
        let Ownership {
            pool, owner, lease, ..
        } = &owned.ownership;
        if let Err(error) = roster::leave(pool, owner, *lease).await {
            tracing::warn!(%error, "leaving the roster failed; other workers take the partitions after a lease");
        }
        owned.give_back_all().await;
        Ok(ended?)
    }
}

impl OwnedPartitions {
    async fn take_turn(&mut self) {
        if let Err(error) = self.try_turn().await {
            tracing::warn!(%error, "leases could not be renewed or partitions not taken; both are tried again at the next turn");
        }
    }

    async fn try_turn(&mut self) -> sqlx::Result<()> {
        let Ownership {
            pool,
            keys,
            owner,
            lease,
            partitions,
            announcer,
            ..
        } = &self.ownership;
        let (lease, partitions) = (*lease, *partitions);
        // 1. Renew the leases, and compare the table with the tasks here.
        let queried_at = Instant::now();
        lease::renew(pool, owner, lease).await?;
        let owned = lease::owned(pool, owner).await?;
        // Another worker took these while this process hung. Their tasks may not have noticed yet.
        for lost in self
            .running
            .values()
            .filter(|running| !owned.contains(&(running.partition, running.epoch)))
        {
            lost.stop.cancel();
            announcer.heartbeats.remove(lost.partition, lost.epoch);
        }
        // A partition whose task ended and could not give it back. Its lease is renewed above, so no other worker can take it
        // until it is released here.
        for (orphan, _) in owned
            .iter()
            .filter(|(partition, _)| self.has_no_task(*partition))
        {
            tracing::warn!(partition = %orphan, "the partition has no task in its worker; it is given back");
            lease::release(pool, owner, *orphan).await?;
        }

        // 2. Sign the roster.
        let SignedRoster {
            now,
            roster,
            has_same_keys,
        } = roster::sign(pool, keys, owner, lease).await?;
        self.has_other_keys = !has_same_keys;
        if self.has_other_keys {
            return Ok(());
        }
        announcer.heartbeats.confirm_ownership(queried_at, now);

        // 3. Take free partitions up to the share, or give back what exceeds it.
        let share = share(partitions.count(), &roster, owner);
        let kept = self.kept().count();
        if kept < share {
            let missing = i64::try_from(share - kept).unwrap_or(i64::MAX);
            for taken in lease::take_free(pool, owner, lease, partitions, missing).await? {
                self.start(taken);
            }
        } else {
            self.give_back(kept - share);
        }
        Ok(())
    }

    fn start(&mut self, taken: Lease) {
        let (partition, epoch) = (taken.partition, taken.epoch);
        let (runner, stop) = (Arc::clone(&self.ownership.runner), CancellationToken::new());
        let publisher = self.ownership.publisher.as_ref();
        let publishing = publisher.map(|publisher| publisher.start(partition));
        let running = RunningPartition {
            partition,
            epoch,
            stop: stop.clone(),
        };
        let task = self.tasks.spawn(async move {
            runner.run(taken, stop).await;
            // Only the partition's owner publishes its events.
            drop(publishing);
        });
        self.running.insert(task.id(), running);
    }

    fn has_no_task(&self, partition: Partition) -> bool {
        self.running
            .values()
            .all(|running| running.partition != partition)
    }

    fn kept(&self) -> impl Iterator<Item = &RunningPartition> {
        self.running
            .values()
            .filter(|running| !running.stop.is_cancelled())
    }

    /// Gives back this many partitions, the highest first. Each ends its batch before.
    fn give_back(&mut self, count: usize) {
        let mut kept: Vec<_> = self.kept().collect();
        kept.sort_unstable_by_key(|running| Reverse(running.partition));
        for running in kept.into_iter().take(count) {
            tracing::info!(partition = %running.partition, "this worker has more partitions than its share; this one is given back");
            running.stop.cancel();
        }
    }

    /// Handles the end of a task. Normally the task has given its partition back, or another worker has it. A task that
    /// panicked (a bug in Holdfast) has not, so its partition is released here, and a worker takes it at its next turn.
    async fn clean_up(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = ended.as_ref().map_or_else(JoinError::id, |(id, ())| *id);
        let Some(RunningPartition {
            partition, epoch, ..
        }) = self.running.remove(&id)
        else {
            return;
        };
        let Err(error) = ended else { return };
        let Ownership {
            pool,
            owner,
            announcer,
            ..
        } = &self.ownership;
        announcer.heartbeats.remove(partition, epoch);
        tracing::error!(%partition, %error, "a partition's task panicked; the partition is given back");
        if let Err(error) = lease::release(pool, owner, partition).await {
            tracing::warn!(%partition, %error, "giving the partition back failed; it is tried again at the next turn");
        }
    }

    async fn give_back_all(mut self) {
        self.running
            .values()
            .for_each(|running| running.stop.cancel());
        while let Some(ended) = self.tasks.join_next_with_id().await {
            self.clean_up(ended).await;
        }
    }
}

/// The number of partitions that one worker should own: an even part, and one more for the first workers of the roster
/// when the division leaves a rest.
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
        assert_eq!(share(16, &[], "me"), 16, "an empty roster");
    }
}
