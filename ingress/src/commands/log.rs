//! The log as it is now: which stream it is, and where it ends.
//!
//! A NATS that lost its store begins a new stream, whose sequences have nothing to do with the old one's. Places in line
//! and positions are compared only within one stream.

use std::time::Duration;

use async_nats::jetstream::Context;
use holdfast_common::id::RequestId;
use holdfast_common::log::stream;
use holdfast_common::time::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::Settings;
use crate::commands::publisher::NotPublished;
use crate::connections::Connections;
use crate::store::Position;

/// How long an answer of NATS is good for places within it.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// Asks NATS about the log, once for all who ask at the same time.
pub struct Log {
    stream: String,
    jetstream: Context,
    known: Mutex<Option<(Instant, LogState)>>,
}

/// What NATS says of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// When its stream was made.
    pub created: Timestamp,
    /// The last sequence.
    pub end: u64,
}

impl LogState {
    /// Whether a request can be in this stream, by when its id was made. Hosts' clocks may differ, so nothing may depend
    /// on it but which of two requests a client is told of.
    #[must_use]
    pub fn may_have(&self, id: RequestId) -> bool {
        id.unix_millis().cast_signed() >= self.created.0 / 1000
    }

    /// Whether a place in the log has still to come for a partition that stands somewhere.
    #[must_use]
    pub fn is_ahead(&self, seq: u64, position: Position) -> bool {
        seq <= self.end && seq > self.applied_seq(position)
    }

    /// How far a partition is applied in this stream: nothing, when its position is in another.
    #[must_use]
    pub fn applied_seq(&self, position: Position) -> u64 {
        if position.stream_created == self.created {
            position.applied_seq
        } else {
            0
        }
    }
}

impl Log {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(settings: &Settings, connections: &Connections) -> Self {
        let (stream, jetstream) = (
            settings.nats.subjects.log_stream(),
            connections.jetstream.clone(),
        );
        Self {
            stream,
            jetstream,
            known: Mutex::new(None),
        }
    }

    /// The log's stream and end, not older than a second, and asked for anew when it may end before `seq`.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn state(&self, seq: u64) -> Result<LogState, NotPublished> {
        let mut known = self.known.lock().await;
        if let Some((at, state)) = *known
            && at.elapsed() < GOOD_FOR
            && seq <= state.end
        {
            return Ok(state);
        }
        self.ask(&mut known).await
    }

    /// The log's stream and end as they are now.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn state_now(&self) -> Result<LogState, NotPublished> {
        self.ask(&mut *self.known.lock().await).await
    }

    async fn ask(&self, known: &mut Option<(Instant, LogState)>) -> Result<LogState, NotPublished> {
        let found = self
            .jetstream
            .get_stream(&self.stream)
            .await
            .map_err(|error| {
                tracing::warn!(%error, "the log's end could not be asked for");
                NotPublished::Unavailable
            })?;
        let state = LogState {
            created: stream::created(&found),
            end: found.cached_info().state.last_sequence,
        };
        *known = Some((Instant::now(), state));
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_common::id::ProductId;

    const LOG: LogState = LogState {
        created: Timestamp(5_000_000),
        end: 10,
    };

    fn at(stream_created: i64, applied_seq: u64) -> Position {
        Position {
            stream_created: Timestamp(stream_created),
            applied_seq,
        }
    }

    #[test]
    fn places_are_compared_within_one_stream_only() {
        assert!(LOG.is_ahead(7, at(5_000_000, 6)) && !LOG.is_ahead(6, at(5_000_000, 6)));
        assert!(
            LOG.is_ahead(1, at(4_000_000, 500)),
            "the position is another stream's"
        );
        assert!(
            !LOG.is_ahead(11, at(4_000_000, 500)),
            "it is beyond the end"
        );
        assert_eq!(
            (
                LOG.applied_seq(at(5_000_000, 6)),
                LOG.applied_seq(at(4_000_000, 500))
            ),
            (6, 0)
        );
    }

    #[test]
    fn a_request_older_than_the_stream_was_lost_with_the_one_before() {
        let made_at = |unix_millis| RequestId::new(ProductId(1).slot(), unix_millis, 0);
        assert!(LOG.may_have(made_at(5000)) && !LOG.may_have(made_at(4999)));
    }
}
