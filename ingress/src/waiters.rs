//! Requests that wait for their outcome.
//!
//! Each has an entry under its id from before its command is published until its outcome comes or its wait ends. The
//! entry goes with the [`Waiting`] that its request holds, so a client that hangs up leaves nothing behind.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use holdfast_common::domain::Decision;
use holdfast_common::id::RequestId;
use tokio::sync::oneshot;

use crate::publisher::NotPublished;

/// The most requests that wait at once; more are answered 503.
pub const WAITERS_MAX: usize = 32_768;

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
#[derive(Debug, Default)]
pub struct Waiters {
    // Several, so that connections on different cores seldom meet at one lock.
    shards: [Mutex<Shard>; SHARDS],
}

/// A request's place among those that wait; dropping it gives the place up.
#[derive(Debug)]
pub struct Waiting {
    waiters: Arc<Waiters>,
    request_id: RequestId,
    answer: oneshot::Receiver<Answer>,
}

impl Waiters {
    fn shard(&self, request_id: RequestId) -> MutexGuard<'_, Shard> {
        let index = request_id.uuid().as_u128() as usize % SHARDS;
        // A map of senders is whole after each call, so a panic elsewhere leaves it usable.
        self.shards[index].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place for a request; `None` when too many wait already.
    #[must_use]
    pub fn wait(self: &Arc<Self>, request_id: RequestId) -> Option<Waiting> {
        let (sender, answer) = oneshot::channel();
        let mut shard = self.shard(request_id);
        if shard.len() >= WAITERS_MAX / SHARDS {
            return None;
        }
        shard.insert(request_id, sender);
        drop(shard);
        Some(Waiting { waiters: Arc::clone(self), request_id, answer })
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_common::id::ProductId;
    use holdfast_common::outcome::{Outcome, Refusal};

    fn outcome() -> Answer {
        Answer::Decision(Decision { replayed: false, outcome: Outcome::Refused(Refusal::ProductNotFound) })
    }

    #[tokio::test]
    async fn an_answer_reaches_its_request_and_nobody_else() {
        let waiters = Arc::new(Waiters::default());
        let slot = ProductId(1).slot();
        let (first, second) = (RequestId::new(slot, 0, 1), RequestId::new(slot, 0, 2));
        let mut waiting = waiters.wait(first).unwrap();
        waiters.answer(second, outcome());
        assert!(waiting.answer.try_recv().is_err());
        waiters.answer(first, outcome());
        assert!(matches!(waiting.answer().await, Answer::Decision(_)));
    }

    #[test]
    fn a_request_that_gives_up_leaves_nothing_behind() {
        let waiters = Arc::new(Waiters::default());
        let request_id = RequestId::new(ProductId(1).slot(), 0, 1);
        drop(waiters.wait(request_id));
        assert!(waiters.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn the_number_that_wait_is_bounded() {
        let waiters = Arc::new(Waiters::default());
        let slot = ProductId(1).slot();
        let places: Vec<_> =
            (0..2 * WAITERS_MAX as u64).filter_map(|n| waiters.wait(RequestId::new(slot, 0, n))).collect();
        assert_eq!(places.len(), WAITERS_MAX);
    }
}
