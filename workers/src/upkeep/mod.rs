//! Maintenance: remove old rows, keep the log short, seal stored values by a new key.

pub mod log_purge;
pub mod reencrypt;
pub mod retention;
