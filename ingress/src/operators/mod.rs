//! Requests that only operators send: clear or fill the product cache, counts of hold responses, statistics of workers,
//! and drift of stock counts. Nothing here decides an outcome.

pub mod cache_requests;
pub mod drift;
pub mod hold_responses;
pub mod worker_stats;
