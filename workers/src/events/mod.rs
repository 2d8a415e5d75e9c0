//! Outgoing events: changes that shops and their systems receive, on a stream and by signed webhooks.
//!
//! The audit is the outbox. Its rows are written in the batch's transaction; [`publisher`] makes events of them
//! (`cloud_event`) afterwards, in order within each partition. [`webhooks`] posts the events of the stream.
//! [`retry_requests`] serves operators. None of it can delay a batch. Off unless `EVENTS` or `EVENT_URLS` is set.

mod cloud_event;
pub mod publisher;
pub mod retry_requests;
pub mod stream;
pub mod webhooks;
