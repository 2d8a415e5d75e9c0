//! Connections: accept, timeouts, client addresses, request ids and the request log.

pub mod accept;
pub mod client_address;
pub mod open_files;
pub mod request_ids;
pub mod request_log;
pub mod slow_heads;
pub mod slow_readers;
pub mod small_pages;
