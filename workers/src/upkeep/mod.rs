//! Tasks beside the sale: remove old rows, keep the log short, encrypt stored values again.

pub mod log_purge;
pub mod reencrypt;
pub mod retention;
