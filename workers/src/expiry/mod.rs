//! Expiry by delayed redelivery: holds and orders end at their time without a scan of the tables.
//!
//! Before a batch commits, [`tickets`] has stored one small message for each second in which something of it falls due, at
//! most one for each partition and second. [`redelivery`] sends a ticket that is early back until its second has come.
//! Then it publishes the command `ExpireDue` for the partition, since only the batch cycle changes business state.
//! [`backstop`] publishes the same command for rows whose ticket was lost.
//!
//! Correctness does not depend on any of this: reads and decisions treat a hold past its time as expired.

pub mod backstop;
pub mod redelivery;
pub mod requests;
pub mod stream;
pub mod tickets;
