//! The path of commands from the log to Postgres.
//!
//! [`partition`] runs one partition and keeps its [`crate::progress`]. [`reader`] fetches envelopes, [`group_commit`]
//! gathers the batches of several partitions, and [`batch`] is the cycle load, decide, write, commit, reply. [`poison`]
//! handles a batch that fails because of its content. Nothing outside this folder writes business state.

pub mod batch;
pub(crate) mod crash_points;
pub mod error;
pub mod group_commit;
pub mod partition;
pub(crate) mod pause;
pub mod poison;
pub mod reader;
