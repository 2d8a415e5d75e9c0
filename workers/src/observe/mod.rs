//! Metrics, the log lines of batches, the statistics for the console, and the HTTP port for metrics.

pub(crate) mod batch_log;
pub mod http;
pub(crate) mod metrics;
pub(crate) mod worker_stats;
