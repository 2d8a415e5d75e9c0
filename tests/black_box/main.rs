//! Holdfast from outside: real processes, real Postgres and NATS, over HTTP and in the tables.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod audit;
mod bad_input;
mod canary;
mod crash_points;
mod customers;
mod dead_letters;
mod dev;
mod encryption;
mod events;
mod examples;
mod expiry;
mod expiry_storm;
mod groups;
mod holds;
mod idempotency;
mod limits;
mod log_lost;
mod metrics;
mod openapi;
mod operator;
mod operator_doctor;
mod operator_holds;
mod operator_queue;
mod operator_stock;
mod orders;
mod outgoing_events;
mod overload;
mod ownership;
mod payment_storm;
mod payments;
mod products;
mod rate_limits;
mod receiver;
mod refunds;
mod requests;
mod roles;
mod slow_clients;
mod sold_out;
mod start;
mod stock_boundary;
mod strangers;
mod webhook_signatures;
mod worker_crash;
