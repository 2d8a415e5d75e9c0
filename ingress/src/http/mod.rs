//! HTTP as the contract has it, apart from what any single endpoint does: reading a request's form, and writing
//! responses and problems; and the server underneath.

pub mod assets;
pub mod audit_view;
pub mod body;
pub mod client_address;
pub mod exchange;
pub mod idempotency;
pub mod openapi;
pub mod parameters;
pub mod prefer;
pub mod problem;
pub mod render;
pub mod request_ids;
pub mod serve;
pub mod shown;
pub mod signature;
pub mod slow_heads;
pub mod slow_readers;
pub mod views;
