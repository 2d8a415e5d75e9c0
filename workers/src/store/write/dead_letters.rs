//! Marks dead letters as settled. [`crate::store::dead_letters`] writes new ones.

use chrono::{DateTime, Utc};
use holdfast_common::id::Slot;
use holdfast_common::outcome::DeadLetterSettled;

use crate::store::write::statement::Statement;

pub(super) fn settle(
    write: &mut Statement,
    settled: &[(Slot, DeadLetterSettled)],
    now: DateTime<Utc>,
) {
    write
        .rows("dead_letters", settled)
        .key("slot", "smallint", |(slot, _)| slot.as_i16())
        .key("dead_letter_id", "bigint", |(_, letter)| letter.id)
        .column("settled_at", "timestamptz", move |_| now)
        .column("is_applied", "boolean", |(_, letter)| letter.is_applied)
        .update_where("dead_letters.settled_at IS NULL");
}
