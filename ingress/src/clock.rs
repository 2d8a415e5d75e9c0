//! The host's clock and randomness, for ids alone. Neither decides anything: a hold's times and order are Postgres's
//! and the log's.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_common::id::{RequestId, Slot};

/// A fresh request id in a slot.
#[must_use]
pub fn new_request_id(slot: Slot) -> RequestId {
    // Only the layout of ids asks for the time; a clock before 1970 would do no harm.
    #[expect(clippy::disallowed_methods)]
    let unix_millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64);
    RequestId::new(slot, unix_millis, rand::random())
}
