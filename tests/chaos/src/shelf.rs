//! What clients have heard of and may act on: holds, orders, accepted requests. Shared, so that clients meet at the
//! same holds, as they do in a sale; bounded, so that they meet at young ones.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rand::Rng;
use rand::rngs::StdRng;

use crate::record::{Asked, Final};

/// How many of each are remembered.
const KEPT_MAX: usize = 48;

/// An order that clients know.
#[derive(Clone, Debug)]
pub struct KnownOrder {
    /// Its id.
    pub id: String,
    /// What it costs, in minor units.
    pub amount_minor: i64,
}

#[derive(Debug, Default)]
struct Known {
    holds: VecDeque<String>,
    orders: VecDeque<KnownOrder>,
}

/// What clients know.
#[derive(Debug, Default)]
pub struct Shelf {
    known: Mutex<Known>,
}

fn keep<T>(list: &mut VecDeque<T>, one: T) {
    if list.len() >= KEPT_MAX {
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

impl Shelf {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns from an outcome.
    pub fn learn(&self, asked: &Asked, outcome: &Final<'_>) {
        let text = |name: &str| outcome.body[name].as_str().unwrap_or_default().to_owned();
        match asked {
            Asked::Hold { .. } if outcome.status == 201 => {
                keep(&mut self.known().holds, text("hold_id"))
            }
            Asked::Order { .. } if outcome.status == 201 => {
                let amount_minor = outcome.body["amount_minor"].as_i64().unwrap_or_default();
                keep(
                    &mut self.known().orders,
                    KnownOrder {
                        id: text("order_id"),
                        amount_minor,
                    },
                );
            }
            _ => {}
        }
    }

    /// Some hold, whatever has become of it.
    pub fn hold(&self, rng: &mut StdRng) -> Option<String> {
        pick(&self.known().holds, rng)
    }

    /// The youngest hold, which probably nobody has ordered yet.
    pub fn youngest_hold(&self) -> Option<String> {
        self.known().holds.back().cloned()
    }

    /// Some order, whatever has become of it.
    pub fn order(&self, rng: &mut StdRng) -> Option<KnownOrder> {
        pick(&self.known().orders, rng)
    }
}
