//! The workers' SQL, as free functions on a connection. A batch costs the same few statements whatever its size.

pub mod clock;
pub mod dead_letters;
pub mod encryption;
pub mod event_dead_letters;
pub mod events;
pub mod forgetting;
pub mod lease;
pub mod load;
pub mod overdue;
pub mod reencrypt;
pub mod refunds;
pub mod retention;
pub mod roster;
pub mod write;
