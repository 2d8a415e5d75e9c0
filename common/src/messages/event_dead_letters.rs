//! What an operator asks of the workers for events that a receiver did not take, over core NATS.
//!
//! Only workers may change that table. One of them answers for all; a request that is lost does no harm, since whoever asked
//! hears no answer and asks again.

use std::time::Duration;

use async_nats::Client;
use serde::{Deserialize, Serialize};

use crate::messages::subjects::Subjects;
use crate::messages::wire::{DecodeError, Message};

/// What is asked for an event, at each receiver that did not take it, or for all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Have it posted once more.
    Retry(Option<String>),
    /// Forget it.
    Drop(Option<String>),
}

/// What the worker has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// For how many events, counted at each receiver; `None` when Postgres failed.
    pub events: Option<u64>,
}

/// Says why nothing is known to be done.
#[derive(Debug, thiserror::Error)]
pub enum NotDone {
    /// There is no worker, or it took too long.
    #[error("no worker has answered: see that holdfast-workers run")]
    NoWorker,
    /// Postgres failed there.
    #[error("the worker could not: see its log")]
    Failed,
    /// The answer is not one.
    #[error(transparent)]
    Answer(#[from] DecodeError),
}

impl Message for Request {
    const VERSION: u8 = 1;
}

impl Request {
    /// Asks a worker, for at most so long; says for how many events it was done.
    ///
    /// # Errors
    /// When no worker has said that it is.
    pub async fn ask(
        &self,
        nats: &Client,
        subjects: &Subjects,
        wait: Duration,
    ) -> Result<u64, NotDone> {
        let asked = tokio::time::timeout(
            wait,
            nats.request(subjects.dead_events(), self.encode().into()),
        )
        .await;
        let Ok(Ok(answer)) = asked else {
            return Err(NotDone::NoWorker);
        };
        Done::decode(&answer.payload)?.events.ok_or(NotDone::Failed)
    }
}

impl Message for Done {
    const VERSION: u8 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_requests_and_answers_never_change() {
        for (request, golden) in [
            (
                Request::Retry(Some("17-1-0".to_owned())),
                "0100010631372d312d30",
            ),
            (Request::Retry(None), "010000"),
            (Request::Drop(None), "010100"),
        ] {
            assert_eq!(hex::encode(request.encode()), golden);
            assert_eq!(Request::decode(&request.encode()), Ok(request));
        }
        for (events, golden) in [(Some(300), "0101ac02"), (None, "0100")] {
            assert_eq!(hex::encode(Done { events }.encode()), golden);
            assert_eq!(Done::decode(&Done { events }.encode()), Ok(Done { events }));
        }
    }
}
