//! Holdfast from outside: real processes, real Postgres and NATS, over HTTP and in the tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod bad_input;
mod dev;
mod holds;
mod idempotency;
mod products;
mod requests;
mod start;
mod stock_boundary;
mod worker_crash;
