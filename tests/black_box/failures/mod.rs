//! Workers that die, batches that fail, and a log that is lost.

mod crash_points;
pub(crate) mod dead_letters;
mod groups;
mod log_lost;
mod ownership;
mod worker_crash;
