//! How the workers' work goes, as they say once a second: for the console, from memory, however often it is asked.
//!
//! Counts begin when the ingress does, and only rise: what a worker counted before it was heard first is left out, and what
//! one that is gone has counted stays. Nothing is decided by any of it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use holdfast_common::messages::worker_stats::Work;
use holdfast_common::metrics::SECONDS;
use tokio::time::Instant;

use crate::App;

/// How long a worker counts as there without a word.
const BELIEVED_FOR: Duration = Duration::from_secs(5);
/// The most workers that are remembered. Who comes when there are more is not heard.
const WORKERS_MAX: usize = 1024;

/// What all workers have told.
#[derive(Debug, Default)]
pub struct AllWork(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    workers: BTreeMap<String, (Instant, Work)>,
    counts: Counts,
}

/// What was counted since the ingress began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches that were applied.
    pub batches: u64,
    /// The commands in them.
    pub commands: u64,
    /// Payments that were not what their orders cost.
    pub mismatches: u64,
    /// As [`Work::expired`].
    pub expired: [u64; SECONDS.len() + 1],
    /// As [`Work::expired_late_micros`].
    pub expired_late_micros: u64,
}

impl Counts {
    fn add(&mut self, now: &Work, before: &Work) {
        let rise = |now: u64, before: u64| now.saturating_sub(before);
        self.batches += rise(now.batches, before.batches);
        self.commands += rise(now.commands, before.commands);
        self.mismatches += rise(now.mismatches, before.mismatches);
        self.expired_late_micros += rise(now.expired_late_micros, before.expired_late_micros);
        for (all, (now, before)) in self
            .expired
            .iter_mut()
            .zip(now.expired.iter().zip(&before.expired))
        {
            *all += rise(*now, *before);
        }
    }
}

impl AllWork {
    fn hear(&self, work: Work) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.forget();
        let Heard { workers, counts } = &mut *heard;
        if let Some((_, before)) = workers.get(&work.owner) {
            counts.add(&work, before);
        } else if workers.len() >= WORKERS_MAX {
            return;
        }
        workers.insert(work.owner.clone(), (Instant::now(), work));
    }

    /// What each worker that is there said last, and what all have done.
    #[must_use]
    pub fn now(&self) -> (Vec<Work>, Counts) {
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.forget();
        (
            heard
                .workers
                .values()
                .map(|(_, work)| work.clone())
                .collect(),
            heard.counts.clone(),
        )
    }
}

impl Heard {
    fn forget(&mut self) {
        self.workers
            .retain(|_, (at, _)| at.elapsed() < BELIEVED_FOR);
    }
}

/// Listens from now on.
///
/// # Errors
/// When NATS does not take the subscription.
pub async fn start(app: Arc<App>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut told = app
        .connections
        .nats
        .subscribe(app.settings.nats.subjects.work())
        .await?;
    Ok(tokio::spawn(async move {
        while let Some(message) = told.next().await {
            match Work::decode(&message.payload) {
                Ok(work) => app.work.hear(work),
                Err(error) => tracing::debug!(%error, "how a worker's work goes can't be read"),
            }
        }
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(all: &AllWork, owner: &str, batches: u64, expired: u64) {
        let expired = vec![expired; SECONDS.len() + 1];
        all.hear(Work {
            owner: owner.to_owned(),
            batches,
            expired,
            ..Work::default()
        });
    }

    #[test]
    fn counts_begin_when_a_worker_is_heard_first_and_stay_when_it_is_gone() {
        let all = AllWork::default();
        told(&all, "a", 100, 5);
        assert_eq!(
            all.now().1.batches,
            0,
            "what it did before is not ours to tell"
        );
        told(&all, "a", 103, 7);
        told(&all, "b", 40, 0);
        told(&all, "b", 41, 1);
        let (workers, counts) = all.now();
        assert_eq!(
            (workers.len(), counts.batches, counts.expired[0]),
            (2, 4, 3)
        );
        for (at, _) in all.0.lock().unwrap().workers.values_mut() {
            *at -= BELIEVED_FOR;
        }
        let (workers, counts) = all.now();
        assert_eq!((workers.len(), counts.batches), (0, 4));
    }

    #[test]
    fn no_more_workers_are_remembered_than_there_may_be() {
        let all = AllWork::default();
        (0..WORKERS_MAX + 5).for_each(|n| told(&all, &n.to_string(), 1, 0));
        assert_eq!(all.now().0.len(), WORKERS_MAX);
    }
}
