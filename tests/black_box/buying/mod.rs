//! Tests of products, holds, orders and expiry.

mod events;
mod expiry;
mod expiry_storm;
mod holds;
mod idempotency;
mod limits;
mod orders;
mod products;
pub(crate) mod requests;
mod sold_out;
mod stock_boundary;
