//! Requests that wait for their outcome.
//!
//! Each has an entry under its id from before its command is published until its outcome comes or its wait ends. The
//! entry goes with the [`Waiting`] that its request holds, so a client that hangs up leaves nothing behind.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_common::domain::Decision;
use holdfast_common::id::{RequestId, Slot};
use tokio::sync::oneshot;

use crate::commands::load_shedding::Room;
use crate::commands::publisher::NotPublished;

const SHARDS: usize = 16;

/// What a waiting request hears.
#[derive(Debug)]
pub enum Answer {
    /// What became of it.
    Decision(Decision),
    /// Its command is not in the log.
    NotPublished(NotPublished),
}

type Shard = HashMap<RequestId, oneshot::Sender<Answer>>;

/// Every request that waits.
#[derive(Debug)]
pub struct Waiters {
    // Several, so that connections on different cores seldom meet at one lock.
    shards: [Mutex<Shard>; SHARDS],
    places_taken: AtomicUsize,
    places_max: usize,
}

/// A request's place among those that wait; dropping it gives the place up.
#[derive(Debug)]
pub struct Waiting {
    waiters: Arc<Waiters>,
    request_id: RequestId,
    answer: oneshot::Receiver<Answer>,
}

impl Waiters {
    /// Places for so many requests; more are answered 503.
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
        // A map of senders is whole after each call, so a panic elsewhere leaves it usable.
        self.shards[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[must_use]
    pub fn count(&self) -> usize {
        self.places_taken.load(Ordering::Relaxed)
    }

    /// Whether a request would find no place in this room.
    #[must_use]
    pub fn is_full(&self, room: Room) -> bool {
        self.places_taken.load(Ordering::Relaxed) >= room.places(self.places_max)
    }

    /// Takes a place for a request; `None` when too many wait already.
    #[must_use]
    pub fn wait(self: &Arc<Self>, request_id: RequestId, room: Room) -> Option<Waiting> {
        // The count alone bounds the places: no other memory is read on its word.
        if self.places_taken.fetch_add(1, Ordering::Relaxed) >= room.places(self.places_max) {
            self.places_taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let (sender, answer) = oneshot::channel();
        self.shard(request_id).insert(request_id, sender);
        Some(Waiting {
            waiters: Arc::clone(self),
            request_id,
            answer,
        })
    }

    /// Those that wait for commands about these slots.
    #[must_use]
    pub fn of(&self, slots: &RangeInclusive<Slot>) -> Vec<RequestId> {
        let mut waiting = Vec::new();
        for shard in &self.shards {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.extend(shard.keys().filter(|id| slots.contains(&id.slot())));
        }
        waiting
    }

    /// Answers a request, if it still waits.
    pub fn answer(&self, request_id: RequestId, answer: Answer) {
        let waiting = self.shard(request_id).remove(&request_id);
        if let Some(waiting) = waiting {
            // Its client may have hung up in the meantime.
            let _ = waiting.send(answer);
        }
    }
}

impl Waiting {
    /// Waits for the answer; safe to give up and take up again.
    pub async fn answer(&mut self) -> Answer {
        match (&mut self.answer).await {
            Ok(answer) => answer,
            // The sender lies in the map as long as we do, and leaves it only to send.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Drop for Waiting {
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

    fn outcome() -> Answer {
        Answer::Decision(Decision {
            replayed: false,
            outcome: Outcome::Refused(Refusal::ProductNotFound),
        })
    }

    fn request(number: u64) -> RequestId {
        RequestId::new(ProductId(1).slot(), 0, number)
    }

    #[tokio::test]
    async fn an_answer_reaches_its_request_and_nobody_else() {
        let waiters = Arc::new(Waiters::new(16));
        let mut waiting = waiters.wait(request(1), Room::Open).unwrap();
        waiters.answer(request(2), outcome());
        assert!(waiting.answer.try_recv().is_err());
        waiters.answer(request(1), outcome());
        assert!(matches!(waiting.answer().await, Answer::Decision(_)));
    }

    #[test]
    fn a_request_that_gives_up_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::new(16));
        drop(waiters.wait(request(1), Room::Open));
        assert!(
            waiters
                .shards
                .iter()
                .all(|shard| shard.lock().unwrap().is_empty())
        );
        assert_eq!(waiters.places_taken.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn shoppers_leave_room_for_others_and_the_number_that_wait_is_bounded() {
        let waiters = Arc::new(Waiters::new(800));
        let take = |first: u64, room| {
            (first..first + 1000)
                .filter_map(|number| waiters.wait(request(number), room))
                .collect::<Vec<_>>()
        };
        let shoppers = take(0, Room::Open);
        assert_eq!(
            (
                shoppers.len(),
                waiters.is_full(Room::Open),
                waiters.is_full(Room::Reserved)
            ),
            (700, true, false)
        );
        let others = take(1000, Room::Reserved);
        assert_eq!((others.len(), waiters.is_full(Room::Reserved)), (100, true));
        drop(shoppers);
        assert_eq!(take(2000, Room::Open).len(), 600, "others count too");
    }
}
