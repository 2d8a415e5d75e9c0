//! Tests of TLS, users, roles, encryption, settings, and secrets that must not leak.

mod canary;
pub(crate) mod certificates;
mod customers;
pub(crate) mod encryption;
mod nats_users;
mod roles;
mod settings;
mod tls;
