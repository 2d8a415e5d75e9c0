//! Black-box tests of Holdfast: real processes with a real Postgres and NATS, observed over HTTP and in the tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod buying;
mod clients;
mod documents;
mod failures;
mod operating;
mod paying;
mod security;
mod source_tree;
