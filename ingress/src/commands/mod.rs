//! Commands on their way into the log, and the wait for their outcomes.
//!
//! [`submit`] takes a place among the [`waiters`] and gives the command to the [`publisher`] of its partition. [`webhooks`]
//! publishes payment webhooks. [`lost_replies`] reads outcomes whose reply did not arrive. [`positions`] and [`log_end`]
//! show how many log entries are ahead of a request. Nothing here decides an outcome: the workers do.

pub mod load_shedding;
pub mod log_end;
pub mod lost_replies;
pub mod not_published;
pub mod positions;
pub mod publisher;
pub mod queued_keys;
pub mod submit;
pub mod waiters;
pub mod webhooks;
