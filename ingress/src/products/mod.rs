//! Products in memory, fed by the news of workers, and the subscribers of their event streams.
//!
//! Nothing here grants a unit. The cache serves reads and may refuse a hold as sold out.

pub mod cache;
pub mod freshness;
pub mod listener;
pub mod snapshot;
pub mod subscribers;
