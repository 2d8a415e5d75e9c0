//! Tests of crashed workers, failed batches, and a lost log.

mod crash_points;
pub(crate) mod dead_letters;
mod groups;
mod log_lost;
mod ownership;
mod worker_crash;
