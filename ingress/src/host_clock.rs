//! The host's clock: the time in new ids, the age of signatures, sessions and waiting commands.
//!
//! It must not decide anything about stock. Postgres's clock decides when a hold expires, and the log decides the order
//! of commands.

use std::time::{SystemTime, UNIX_EPOCH};

use holdfast_common::id::{HoldId, RequestId, Slot};
use holdfast_common::time::Timestamp;

/// How far the clocks of two hosts may differ before an expired hold is not checked in Postgres.
const SKEW_MILLIS: u64 = 5000;

/// Microseconds since 1970. A clock before 1970 counts as 1970.
fn unix_micros() -> u64 {
    #[expect(clippy::disallowed_methods)]
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros() as u64)
}

#[must_use]
pub fn new_request_id(slot: Slot) -> RequestId {
    RequestId::new(slot, unix_micros() / 1000, rand::random())
}

/// Whether a hold is old enough to have expired. The caller must then read its row: Postgres's clock decides.
#[must_use]
pub fn may_have_expired(hold: HoldId, hold_expiry_seconds: u32) -> bool {
    let age = (unix_micros() / 1000).saturating_sub(hold.unix_millis());
    age + SKEW_MILLIS >= u64::from(hold_expiry_seconds) * 1000
}

/// Seconds since a time; 0 when it is in the future.
#[must_use]
pub fn seconds_since(time: Timestamp) -> f64 {
    unix_micros().saturating_sub(time.0.max(0).cast_unsigned()) as f64 / 1e6
}

/// The current time, to check the timestamp of a provider's signature. The tolerance is 5 minutes, so the host's clock
/// is exact enough.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp(unix_micros().cast_signed())
}

/// Seconds since 1970, to check whether a session has ended.
#[must_use]
pub fn unix_seconds() -> u64 {
    unix_micros() / 1_000_000
}
