//! Tests of payment webhooks, refunds and outgoing events.

mod outgoing_events;
mod payment_storm;
mod payments;
pub(crate) mod receiver;
mod refunds;
mod webhook_signatures;
