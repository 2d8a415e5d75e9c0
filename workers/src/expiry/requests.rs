//! Requests that partitions end what is due.

use holdfast_common::command::Action;
use holdfast_common::partition::Partition;

use crate::internal_commands::InternalCommands;

/// Publishes the command `ExpireDue`.
#[derive(Clone)]
pub struct ExpiryRequests(pub InternalCommands);

impl ExpiryRequests {
    /// Requests expiry in one partition. A second request with the same `occasion` has no effect, since JetStream stores
    /// only one command for each message id.
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
