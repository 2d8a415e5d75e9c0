//! What Holdfast says to itself: commands that nobody waits for, in the log like all others.

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;

use crate::command::{Action, Command};
use crate::encryption::Keyring;
use crate::id::{RequestId, Slot};
use crate::messages::envelope::{EnvelopeBuilder, encode_command};
use crate::messages::reply::IngressId;
use crate::settings::LogLayout;

/// Nobody.
const NOBODY: IngressId = IngressId(0);

/// A command that has no outcome. Nothing is told of it, so its id need not be its own.
#[must_use]
pub fn command(slot: Slot, action: Action) -> Command {
    Command {
        request_id: RequestId::new(slot, 0, 0),
        key: None,
        action,
    }
}

/// Puts a command in the log of its partition, and tells its sequence there. With a message id, saying it twice is
/// saying it once.
///
/// # Errors
/// When the log does not take it.
pub async fn publish_internal(
    jetstream: &Context,
    layout: &LogLayout,
    keys: &Keyring,
    command: &Command,
    message_id: Option<String>,
) -> Result<u64, async_nats::Error> {
    let mut envelope = EnvelopeBuilder::new(NOBODY);
    envelope.push(&encode_command(command));
    let message = PublishMessage::build().payload(envelope.finish(keys).into());
    let message = match message_id {
        Some(id) => message.message_id(id),
        None => message,
    };
    let subject = layout
        .subjects
        .commands(layout.partitions.of(command.slot()));
    Ok(jetstream
        .send_publish(subject, message)
        .await?
        .await?
        .sequence)
}
