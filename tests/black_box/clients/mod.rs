//! Tests of bad input, slow clients, rate limits, overload, the published description and the examples.

mod bad_input;
mod examples;
mod openapi;
mod overload;
mod rate_limits;
mod slow_clients;
mod strangers;
