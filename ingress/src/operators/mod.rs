//! Requests that only operators make: clear or warm the product cache, answer counts, statistics of workers, drift of counts.

pub mod answer_counts;
pub mod cache_requests;
pub mod drift;
pub mod worker_stats;
