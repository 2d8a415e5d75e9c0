//! HTTP for every route: reading requests, and writing responses and problem documents.
//!
//! Nothing here knows a single route. Next: [`crate::routes`].

pub(crate) mod admin;
pub mod audit_view;
pub mod body;
pub mod command_response;
pub mod idempotency;
pub mod openapi;
pub mod parameters;
pub mod prefer;
pub mod problem;
pub mod render;
pub mod signature;
pub mod views;
