//! Metrics, the log of batches, statistics for the console, and the workers' own HTTP port.

pub(crate) mod batch_log;
pub mod http;
pub(crate) mod metrics;
pub(crate) mod worker_stats;
