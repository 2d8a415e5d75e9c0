//! An operator's request for event dead letters, which are events that a receiver did not accept. It travels over core NATS.
//!
//! Only workers may change that table, and one worker handles the request. A lost request does no harm: there is no reply,
//! and the operator sends it again.

use std::time::Duration;

use async_nats::Client;
use serde::{Deserialize, Serialize};

use crate::messages::subjects::Subjects;
use crate::messages::wire::{DecodeError, Message};

/// An operation on one event, at each receiver that did not accept it; `None` means all events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventDeadLetterRequest {
    /// Post the event again.
    Retry(Option<String>),
    /// Delete the event dead letter.
    Drop(Option<String>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventDeadLetterReply {
    /// The number of events, counted once for each receiver; `None` when Postgres failed.
    pub events: Option<u64>,
}

/// The request may not have been carried out.
#[derive(Debug, thiserror::Error)]
pub enum EventDeadLetterError {
    /// There is no worker, or it took too long.
    #[error("no worker has replied: check that holdfast-workers runs, and try again")]
    NoWorker,
    /// Postgres failed in the worker.
    #[error("the worker could not carry out the request: see its log, and try again")]
    Failed,
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

impl Message for EventDeadLetterRequest {
    const VERSION: u8 = 1;
}

impl EventDeadLetterRequest {
    /// Sends the request, and returns the number of events from the worker's reply.
    ///
    /// # Errors
    /// When no worker has replied within `wait`, or the worker failed.
    pub async fn send(
        &self,
        nats: &Client,
        subjects: &Subjects,
        wait: Duration,
    ) -> Result<u64, EventDeadLetterError> {
        let reply = tokio::time::timeout(
            wait,
            nats.request(subjects.event_dead_letters(), self.encode().into()),
        )
        .await;
        let Ok(Ok(reply)) = reply else {
            return Err(EventDeadLetterError::NoWorker);
        };
        EventDeadLetterReply::decode(&reply.payload)?
            .events
            .ok_or(EventDeadLetterError::Failed)
    }
}

impl Message for EventDeadLetterReply {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_event_dead_letter_requests_never_change() {
        for (request, golden) in [
            (
                EventDeadLetterRequest::Retry(Some("17-1-0".to_owned())),
                "0100010631372d312d30",
            ),
            (EventDeadLetterRequest::Retry(None), "010000"),
            (EventDeadLetterRequest::Drop(None), "010100"),
        ] {
            assert_eq!(hex::encode(request.encode()), golden);
            assert_eq!(
                EventDeadLetterRequest::decode(&request.encode()),
                Ok(request)
            );
        }
        for (events, golden) in [(Some(300), "0101ac02"), (None, "0100")] {
            assert_eq!(
                hex::encode(EventDeadLetterReply { events }.encode()),
                golden
            );
            assert_eq!(
                EventDeadLetterReply::decode(&EventDeadLetterReply { events }.encode()),
                Ok(EventDeadLetterReply { events })
            );
        }
    }
}
