//! Publishes the workers' own commands. They go through the log like all others, since only the batch cycle changes
//! business state. No client waits for their outcome.

use async_nats::jetstream::Context;
use holdfast_common::command::Action;
use holdfast_common::encryption::Keyring;
use holdfast_common::id::Slot;
use holdfast_common::log::internal;
use holdfast_common::settings::LogLayout;

#[derive(Clone)]
pub struct InternalCommands {
    pub jetstream: Context,
    pub layout: LogLayout,
    pub keys: Keyring,
}

impl InternalCommands {
    /// Publishes a command to the log of its slot's partition. JetStream stores only one command for each message id.
    ///
    /// # Errors
    /// When JetStream does not store the command.
    pub async fn publish(
        &self,
        slot: Slot,
        action: Action,
        message_id: Option<String>,
    ) -> Result<(), async_nats::Error> {
        let command = internal::command(slot, action);
        internal::publish_internal(
            &self.jetstream,
            &self.layout,
            &self.keys,
            &command,
            message_id,
        )
        .await
        .map(drop)
    }
}
