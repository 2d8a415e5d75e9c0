//! The host's clock and randomness, for ids, for the age of signatures and of what waits, and for whether a look at a hold is worth it.
//! Neither decides anything about stock: a hold's times and order are Postgres's and the log's.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_common::id::{HoldId, RequestId, Slot};
use holdfast_common::time::Timestamp;

/// Microseconds since 1970 by this host's clock; a clock before that does no harm.
fn unix_micros() -> u64 {
    #[expect(clippy::disallowed_methods)]
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

/// A fresh request id in a slot.
#[must_use]
pub fn new_request_id(slot: Slot) -> RequestId {
    RequestId::new(slot, unix_micros() / 1000, rand::random())
}

/// How far two hosts' clocks may be apart before a look is missed.
const SKEW_MILLIS: u64 = 5000;

/// Whether a hold is so old that it may have expired, when holds last this long. Worth a look at its row; no answer.
#[must_use]
pub fn may_have_expired(hold: HoldId, hold_expiry_seconds: u32) -> bool {
    let age = (unix_micros() / 1000).saturating_sub(hold.unix_millis());
    age + SKEW_MILLIS >= u64::from(hold_expiry_seconds) * 1000
}

/// How many seconds ago a time was, by this host's clock; 0 when it is still to come.
#[must_use]
pub fn seconds_since(time: Timestamp) -> f64 {
    unix_micros().saturating_sub(time.0.max(0).cast_unsigned()) as f64 / 1e6
}

/// The time by which a signature's age is judged. Its tolerance is minutes, and a provider's clock is not Postgres's.
#[must_use]
pub fn for_signatures() -> Timestamp {
    Timestamp(unix_micros().cast_signed())
}

/// Seconds since 1970, for how long somebody is signed in.
#[must_use]
pub fn unix_seconds() -> u64 {
    unix_micros() / 1_000_000
}
