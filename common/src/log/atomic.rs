//! Atomic batches (NATS ADR-50): JetStream stores several messages together, in one sync, or none of them.

use std::time::Duration;

use async_nats::header::{
    NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL, NATS_BATCH_ID, NATS_BATCH_SEQUENCE, NATS_MESSAGE_ID,
};
use async_nats::jetstream::publish::PublishAck;
use async_nats::jetstream::response::Response;
use async_nats::{Client, HeaderMap, Request, Subject};
use bytes::Bytes;

/// The most messages of one batch; JetStream allows 1,000.
pub const MESSAGES_MAX: usize = 512;

#[derive(Clone, Debug)]
pub struct BatchMessage {
    pub subject: Subject,
    /// The `Nats-Msg-Id`. JetStream refuses the whole batch when it has seen the id of one message.
    pub id: String,
    /// Headers beside those of the batch.
    pub headers: HeaderMap,
    pub payload: Bytes,
}

/// Publishes a batch of at most [`MESSAGES_MAX`], and returns the acknowledgement of its last message; `None` for an empty
/// batch.
///
/// # Errors
/// When JetStream refuses the batch, or does not acknowledge it within `wait`. In the latter case it may be stored.
pub async fn publish(
    client: &Client,
    messages: Vec<BatchMessage>,
    wait: Duration,
) -> Result<Option<PublishAck>, async_nats::Error> {
    // The batch id must be unique, as the name of an inbox is.
    let batch_id = client.new_inbox();
    let last = messages.len();
    for (message, number) in messages.into_iter().zip(1..) {
        let BatchMessage {
            subject,
            id,
            mut headers,
            payload,
        } = message;
        headers.insert(NATS_BATCH_ID, batch_id.as_str());
        headers.insert(NATS_BATCH_SEQUENCE, number.to_string());
        headers.insert(NATS_MESSAGE_ID, id);
        if number < last {
            client
                .publish_with_headers(subject, headers, payload)
                .await?;
            continue;
        }
        headers.insert(NATS_BATCH_COMMIT, NATS_BATCH_COMMIT_FINAL);
        let request = Request::new()
            .headers(headers)
            .payload(payload)
            .timeout(Some(wait));
        let ack = client.send_request(subject, request).await?;
        return match serde_json::from_slice(&ack.payload)? {
            Response::Ok(ack) => Ok(Some(ack)),
            Response::Err { error } => Err(error.into()),
        };
    }
    Ok(None)
}
