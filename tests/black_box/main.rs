//! Holdfast from outside: real processes, real Postgres and NATS, over HTTP and in the tables.

mod bad_input;
mod dev;
mod holds;
mod idempotency;
mod products;
mod requests;
mod start;
mod stock_boundary;
mod worker_crash;
