//! Atomic batches (ADR-50): several messages that JetStream stores together, in one sync, or not at all.

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

/// A message of a batch.
#[derive(Clone, Debug)]
pub struct BatchMessage {
    /// Where it goes.
    pub subject: Subject,
    /// Its `Nats-Msg-Id`. JetStream refuses a whole batch for one that it knows.
    pub id: String,
    /// Further headers.
    pub headers: HeaderMap,
    /// Its body.
    pub payload: Bytes,
}

/// Publishes a batch of at most [`MESSAGES_MAX`], and tells the last message's place. `None` when there are no messages.
///
/// # Errors
/// When JetStream refuses the batch, or does not answer within `wait`: it may then be stored all the same.
pub async fn publish(
    client: &Client,
    messages: Vec<BatchMessage>,
    wait: Duration,
) -> Result<Option<PublishAck>, async_nats::Error> {
    // As unlike any other as an inbox has to be.
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
        let answer = client.send_request(subject, request).await?;
        return match serde_json::from_slice(&answer.payload)? {
            Response::Ok(ack) => Ok(Some(ack)),
            Response::Err { error } => Err(error.into()),
        };
    }
    Ok(None)
}
