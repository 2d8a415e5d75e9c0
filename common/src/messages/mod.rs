//! Messages between programs, and their binary forms.
//!
//! The log carries [`envelope`]s of commands. Workers send a [`reply`] to each ingress and [`news`] to all ingresses. The
//! other modules are requests of operators and the statistics of workers. [`wire`] has the version bytes, [`subjects`] the
//! names in NATS.

pub mod cache_request;
pub mod envelope;
pub mod event_dead_letters;
#[cfg(test)]
mod golden;
pub mod hold_responses;
pub mod news;
pub mod reply;
pub mod subjects;
pub mod wire;
pub mod worker_stats;
