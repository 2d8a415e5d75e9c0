//! The ids of holds and orders that clients have received, shared by all clients of a run.
//!
//! The lists are shared, so that several clients act on one hold. They are bounded, so that the clients act on recent ones.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::rngs::StdRng;

use crate::history::{Outcome, Request};

/// The length of each list.
const IDS_MAX: usize = 48;

#[derive(Clone, Debug)]
pub struct KnownOrder {
    pub id: String,
    /// The order's amount, in minor units.
    pub amount_minor: i64,
}

#[derive(Debug, Default)]
struct IdLists {
    holds: VecDeque<String>,
    orders: VecDeque<KnownOrder>,
}

#[derive(Debug, Default)]
pub struct KnownIds {
    lists: Mutex<IdLists>,
}

fn add<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() >= IDS_MAX {
        list.pop_front();
    }
    list.push_back(one);
}

fn pick<T: Clone>(list: &VecDeque<T>, rng: &mut StdRng) -> Option<T> {
    if list.is_empty() {
        None
    } else {
        list.get(rng.random_range(0..list.len())).cloned()
    }
}

impl KnownIds {
    fn lists(&self) -> MutexGuard<'_, IdLists> {
        self.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds the id of a created hold or order.
    pub fn add_from(&self, request: &Request, outcome: &Outcome<'_>) {
        let text = |name: &str| outcome.body[name].as_str().unwrap_or_default().to_owned();
        match request {
            Request::Hold { .. } if outcome.status == 201 => {
                add(&mut self.lists().holds, text("hold_id"))
            }
            Request::Order { .. } if outcome.status == 201 => {
                let amount_minor = outcome.body["amount_minor"].as_i64().unwrap_or_default();
                add(
                    &mut self.lists().orders,
                    KnownOrder {
                        id: text("order_id"),
                        amount_minor,
                    },
                );
            }
            _ => {}
        }
    }

    /// A random hold, in any state.
    pub fn hold(&self, rng: &mut StdRng) -> Option<String> {
        pick(&self.lists().holds, rng)
    }

    /// The newest hold, which probably has no order yet.
    pub fn newest_hold(&self) -> Option<String> {
        self.lists().holds.back().cloned()
    }

    /// A random order, in any state.
    pub fn order(&self, rng: &mut StdRng) -> Option<KnownOrder> {
        pick(&self.lists().orders, rng)
    }
}
