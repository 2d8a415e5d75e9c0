//! The path of commands from the log to Postgres.
//!
//! [`partition`] runs one partition: [`reader`] fetches envelopes, [`group_commit`] gathers the batches of several partitions, and
//! [`batch`] is the cycle load, decide, write, commit, reply. [`poison`] handles a batch that fails, [`next_due`] is the time
//! at which something of a partition falls due next.

pub mod batch;
pub(crate) mod crash_points;
pub mod group_commit;
pub mod next_due;
pub mod partition;
pub mod poison;
pub mod reader;
