//! Holdfast from outside: real processes, real Postgres and NATS, over HTTP and in the tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod buying;
mod clients;
mod documents;
mod failures;
mod operating;
mod paying;
mod security;
