//! HTTP as the contract has it, apart from what any single endpoint does: reading a request's form, and writing
//! responses and problems; and the server underneath.

pub mod audit_view;
pub mod body;
pub mod idempotency;
pub mod openapi;
pub mod parameters;
pub mod prefer;
pub mod problem;
pub mod render;
pub mod signature;
pub mod views;
