//! Products in memory, fed by the news of workers, and the subscribers of their event streams.
//!
//! Nothing in here grants a unit: memory only refuses.

pub mod cache;
pub mod freshness;
pub mod listener;
pub mod positions;
pub mod snapshot;
pub mod subscribers;
