//! Internal commands: Holdfast publishes them for itself. They go through the log like all others, and nobody waits for them.

use async_nats::jetstream::Context;
use async_nats::jetstream::message::PublishMessage;

use crate::command::{Action, Command};
use crate::encryption::Keyring;
use crate::id::{RequestId, Slot};
use crate::messages::envelope::{EnvelopeBuilder, encode_command};
use crate::messages::reply::IngressId;
use crate::settings::LogLayout;

/// No ingress has this id, so no ingress gets a reply.
const NO_INGRESS: IngressId = IngressId(0);

/// An internal command. Its outcome is not stored, so its id need not be unique.
#[must_use]
pub fn command(slot: Slot, action: Action) -> Command {
    Command {
        request_id: RequestId::new(slot, 0, 0),
        key: None,
        action,
    }
}

/// Publishes a command to the log of its partition, and returns its sequence there. JetStream stores only one of several
/// messages with the same `message_id`.
///
/// # Errors
/// When JetStream does not store the command.
pub async fn publish_internal(
    jetstream: &Context,
    layout: &LogLayout,
    keys: &Keyring,
    command: &Command,
    message_id: Option<String>,
) -> Result<u64, async_nats::Error> {
    let mut envelope = EnvelopeBuilder::new(NO_INGRESS);
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
