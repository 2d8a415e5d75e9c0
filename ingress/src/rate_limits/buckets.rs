//! How full each client's bucket is, in bounded memory.
//!
//! A bucket that has had time to drain is as good as none, and within two seconds every bucket has: so the sweep keeps
//! only clients of the last moments. Should so many come at once that the bound is met all the same, the newcomers of a
//! shard share one bucket. To drop somebody's state instead would hand out fresh bursts to whoever can make up enough
//! keys, just when limits matter; with the shared bucket those who are known keep their own, and memory stays bounded.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Mutex, MutexGuard, PoisonError};

use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::state::keyed::ShrinkableKeyedStateStore;

/// The most clients that have a bucket of their own, about 9 MB. More than one ingress can answer in two seconds.
pub const CLIENTS_MAX: usize = 262_144;

const SHARDS: usize = 16;
/// A map as small as this, in entries, is not worth shrinking.
const CAPACITY_MIN: usize = 1024;

#[derive(Debug, Default)]
struct Shard {
    own: HashMap<u64, Nanos>,
    /// The bucket of all who found no place.
    shared: Option<Nanos>,
}

/// The state of one limit: for each client's hash the time at which its bucket will be empty.
#[derive(Debug)]
pub struct Buckets {
    // Several, so that connections on different cores seldom meet at one lock.
    shards: [Mutex<Shard>; SHARDS],
    shard_clients_max: usize,
}

impl Buckets {
    /// For up to so many clients.
    #[must_use]
    pub fn new(clients_max: usize) -> Self {
        Self {
            shards: Default::default(),
            shard_clients_max: clients_max / SHARDS,
        }
    }

    fn all(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.shards.iter().map(lock)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Each entry is whole after each call, so a panic elsewhere leaves them usable.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StateStore for Buckets {
    type Key = u64;

    fn measure_and_replace<T, F, E>(&self, key: &u64, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut shard = lock(&self.shards[*key as usize % SHARDS]);
        let has_room = shard.own.len() < self.shard_clients_max;
        let Shard { own, shared } = &mut *shard;
        match own.entry(*key) {
            Entry::Occupied(mut bucket) => {
                let (answer, level) = measure(Some(*bucket.get()))?;
                bucket.insert(level);
                Ok(answer)
            }
            Entry::Vacant(bucket) if has_room => {
                let (answer, level) = measure(None)?;
                bucket.insert(level);
                Ok(answer)
            }
            Entry::Vacant(_) => {
                let (answer, level) = measure(*shared)?;
                *shared = Some(level);
                Ok(answer)
            }
        }
    }
}

impl ShrinkableKeyedStateStore<u64> for Buckets {
    fn retain_recent(&self, drop_below: Nanos) {
        self.all()
            .for_each(|mut shard| shard.own.retain(|_, level| *level > drop_below));
    }

    fn shrink_to_fit(&self) {
        for mut shard in self.all() {
            // Not to the last entry: a map that is shrunk and grown each second would do nothing else.
            let (clients, capacity) = (shard.own.len(), shard.own.capacity());
            if capacity > CAPACITY_MIN.max(4 * clients) {
                shard.own.shrink_to(2 * clients);
            }
        }
    }

    fn len(&self) -> usize {
        self.all().map(|shard| shard.own.len()).sum()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
