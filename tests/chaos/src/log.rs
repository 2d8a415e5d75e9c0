//! The commands of the log at rest, in log order.

use anyhow::Context;
use async_nats::jetstream;
use async_nats::jetstream::consumer::pull::OrderedConfig;
use futures_util::StreamExt;
use holdfast_common::command::{Action, Command};
use holdfast_common::encryption::Keyring;
use holdfast_common::messages::envelope;

use crate::cluster::{Cluster, PREFIX};

#[derive(Clone, Debug)]
pub struct LogCommand {
    /// The sequence of its message in the stream.
    pub log_seq: u64,
    /// The id of its request, in lower case.
    pub request_id: String,
    /// Whether it is a client's command, which gets an outcome. Internal commands get none.
    pub has_outcome: bool,
    /// The product and the customer of a hold.
    pub hold: Option<(i64, String)>,
}

impl LogCommand {
    fn new(log_seq: u64, command: Command) -> Self {
        let (request_id, has_outcome) = (
            command.request_id.to_string(),
            !command.action.is_internal(),
        );
        let hold = match command.action {
            Action::CreateHold {
                product_id,
                customer_id,
                ..
            } => Some((product_id.0, customer_id.unwrap_or_default())),
            _ => None,
        };
        Self {
            log_seq,
            request_id,
            has_outcome,
            hold,
        }
    }
}

/// Reads the log from its first message to its last.
///
/// # Errors
/// When NATS does not respond, or a message is not an envelope.
pub async fn read(cluster: &Cluster) -> anyhow::Result<Vec<LogCommand>> {
    let stream = jetstream::new(cluster.nats().await?)
        .get_stream(format!("{PREFIX}-commands"))
        .await?;
    let end = stream.cached_info().state.last_sequence;
    let mut logged = Vec::new();
    if stream.cached_info().state.messages == 0 {
        return Ok(logged);
    }
    let mut messages = stream
        .create_consumer(OrderedConfig::default())
        .await?
        .messages()
        .await?;
    while let Some(message) = messages.next().await {
        let message = message?;
        let log_seq = message
            .info()
            .map_err(|error| anyhow::anyhow!("a message of the log: {error}"))?
            .stream_sequence;
        let envelope = envelope::decode(&message.payload, &Keyring::default())
            .with_context(|| format!("message {log_seq} of the log"))?;
        logged.extend(
            envelope
                .commands
                .into_iter()
                .map(|command| LogCommand::new(log_seq, command)),
        );
        if log_seq >= end {
            break;
        }
    }
    Ok(logged)
}
