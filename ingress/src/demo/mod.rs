//! The demo store's stand-in for a payment provider. There only with `DEMO_STORE`.
//!
//! It sends its webhooks over HTTP, as a real provider does. It must not change state in another way.

pub mod loopback;
pub mod payments;
pub mod routes;
