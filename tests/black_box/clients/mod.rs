//! Odd, slow and greedy clients, and the published description.

mod bad_input;
mod examples;
mod openapi;
mod overload;
mod rate_limits;
mod slow_clients;
mod strangers;
