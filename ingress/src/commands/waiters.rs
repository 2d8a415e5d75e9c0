//! Requests that wait for their outcome.
//!
//! A request takes an entry under its id before its command is published, because the outcome may arrive before the
//! publisher returns. The entry belongs to the [`Waiter`] that the request holds: when the client disconnects, the future
//! is dropped and the entry goes with it. The number of entries is bounded; [`super::load_shedding`] reserves the
//! last ones for commands of high priority.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_common::domain::Decision;
use holdfast_common::id::{RequestId, Slot};
use tokio::sync::oneshot;

use crate::commands::load_shedding::Priority;
use crate::commands::not_published::NotPublished;

const SHARDS: usize = 16;

/// The result for a waiting request: a worker's decision, or why its command is not in the log.
pub type CommandResult = Result<Decision, NotPublished>;

type Shard = HashMap<RequestId, oneshot::Sender<CommandResult>>;

/// The entries of all waiting requests.
#[derive(Debug)]
pub struct Waiters {
    /// Several maps, so that connections on different cores seldom wait for the same lock.
    shards: [Mutex<Shard>; SHARDS],
    places_taken: AtomicUsize,
    places_max: usize,
}

/// The entry of one waiting request. Dropping it frees the place.
#[derive(Debug)]
pub struct Waiter {
    waiters: Arc<Waiters>,
    request_id: RequestId,
    result: oneshot::Receiver<CommandResult>,
}

impl Waiters {
    #[must_use]
    pub fn new(places_max: usize) -> Self {
        Self {
            shards: Default::default(),
            places_taken: AtomicUsize::new(0),
            places_max,
        }
    }

    fn shard(&self, request_id: RequestId) -> MutexGuard<'_, Shard> {
        let index = request_id.uuid().as_u128() as usize % SHARDS;
        // Each operation leaves the map consistent, so a panic of another thread does no harm.
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of waiting requests.
    #[must_use]
    pub fn count(&self) -> usize {
        self.places_taken.load(Ordering::Relaxed)
    }

    /// Whether [`Self::wait`] would return `None` now.
    #[must_use]
    pub fn is_full(&self, priority: Priority) -> bool {
        self.count() >= priority.places(self.places_max)
    }

    /// Takes a place for a request; `None` when all places of this priority are taken.
    #[must_use]
    pub fn wait(self: &Arc<Self>, request_id: RequestId, priority: Priority) -> Option<Waiter> {
        // `Relaxed` is enough: the counter only bounds the number of places and guards no other memory.
        if self.places_taken.fetch_add(1, Ordering::Relaxed) >= priority.places(self.places_max) {
            self.places_taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (sender, result) = oneshot::channel();
        self.shard(request_id).insert(request_id, sender);
        Some(Waiter {
            waiters: Arc::clone(self),
            request_id,
            result,
        })
    }

    /// The requests that wait for commands in these slots.
    #[must_use]
    pub fn in_slots(&self, slots: &RangeInclusive<Slot>) -> Vec<RequestId> {
        let mut waiting = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extend(shard.keys().filter(|id| slots.contains(&id.slot())));
        }
        waiting
    }

    /// Gives a request its result, if it still waits. The first result counts.
    pub fn complete(&self, request_id: RequestId, result: CommandResult) {
        let waiting = self.shard(request_id).remove(&request_id);
        if let Some(sender) = waiting {
            // The client may have disconnected in the meantime.
            let _ = sender.send(result);
        }
    }
}

impl Waiter {
    /// Waits for the result. Cancel safe: the call may be dropped and repeated.
    pub async fn result(&mut self) -> CommandResult {
        match (&mut self.result).await {
            Ok(result) => result,
            // The sender stays in the map as long as this entry exists, and leaves it only to send.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.waiters.shard(self.request_id).remove(&self.request_id);
        self.waiters.places_taken.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_common::id::ProductId;
    use holdfast_common::outcome::{Outcome, Refusal};

    fn decision() -> CommandResult {
        Ok(Decision {
            replayed: false,
            outcome: Outcome::Refused(Refusal::ProductNotFound),
        })
    }

    fn request(number: u64) -> RequestId {
        RequestId::new(ProductId(1).slot(), 0, number)
    }

    #[tokio::test]
    async fn a_result_reaches_only_its_own_request() {
        let waiters = Arc::new(Waiters::new(16));
        let mut waiter = waiters.wait(request(1), Priority::Low).unwrap();
        waiters.complete(request(2), decision());
        assert!(waiter.result.try_recv().is_err());
        waiters.complete(request(1), decision());
        assert!(waiter.result().await.is_ok());
    }

    #[test]
    fn a_dropped_waiter_frees_its_entry_and_place() {
        let waiters = Arc::new(Waiters::new(16));
        drop(waiters.wait(request(1), Priority::Low));
        assert!(
            waiters
                .shards
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
        assert_eq!(waiters.count(), 0);
    }

    #[test]
    fn low_priority_leaves_reserved_places_free() {
        let waiters = Arc::new(Waiters::new(800));
        let take = |first: u64, priority| {
            (first..first + 1000)
                .filter_map(|number| waiters.wait(request(number), priority))
                .collect::<Vec<_>>()
        };
        let shoppers = take(0, Priority::Low);
        assert_eq!(
            (
                shoppers.len(),
                waiters.is_full(Priority::Low),
                waiters.is_full(Priority::High)
            ),
            (700, true, false)
        );
        let others = take(1000, Priority::High);
        assert_eq!((others.len(), waiters.is_full(Priority::High)), (100, true));
        drop(shoppers);
        assert_eq!(
            take(2000, Priority::Low).len(),
            600,
            "places of high priority count too"
        );
    }
}
