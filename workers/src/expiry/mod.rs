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
pub mod stream;
pub mod tickets;

use holdfast_common::command::Action;
use holdfast_common::partition::Partition;

use crate::internal_commands::InternalCommands;

/// Requests that partitions end what is due.
#[derive(Clone)]
pub struct ExpiryRequests(pub InternalCommands);

impl ExpiryRequests {
    /// Requests it of one partition. A second request with the same `occasion` has no effect.
    ///
    /// # Errors
    /// When the log does not store the command.
    pub async fn request(
        &self,
        partition: Partition,
        occasion: &str,
    ) -> Result<(), async_nats::Error> {
        let slot = *self.0.layout.partitions.slots(partition).start();
        let message_id = Some(format!("expire-{partition}-{occasion}"));
        self.0.publish(slot, Action::ExpireDue, message_id).await
    }
}
