//! The log's current stream and its last sequence, read from NATS and cached for a second.
//!
//! A NATS server that lost its store starts a new stream, whose sequences have nothing to do with those of the old one.
//! So a sequence of the log is comparable with a partition's position only when both belong to the same stream.

use std::time::Duration;

use async_nats::jetstream::Context;
use holdfast_common::id::RequestId;
use holdfast_common::log::stream;
use holdfast_common::time::Timestamp;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::commands::not_published::NotPublished;
use crate::store::LogPosition;

/// How long a result of NATS is reused for sequences that it covers.
const CACHED_FOR: Duration = Duration::from_secs(1);

/// Reads the log's end. Callers at the same time share one request to NATS, because they wait for one lock.
pub struct LogEnd {
    stream: String,
    jetstream: Context,
    cached: Mutex<Option<(Instant, LogState)>>,
}

/// The state of the log when it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogState {
    /// When the stream was created. It identifies the stream.
    pub created: Timestamp,
    pub last_seq: u64,
}

impl LogState {
    /// Whether a request can be in this stream: its id is not older than the stream. The clocks of hosts differ, so this
    /// may only choose which of two request ids a client gets.
    #[must_use]
    pub fn may_contain(&self, id: RequestId) -> bool {
        id.unix_millis().cast_signed() >= self.created.0 / 1000
    }

    /// Whether the partition at this position has still to apply a sequence of this stream.
    #[must_use]
    pub fn is_pending(&self, seq: u64, position: LogPosition) -> bool {
        seq <= self.last_seq && seq > self.applied_seq(position)
    }

    /// The last sequence of this stream that a partition has applied; 0 when its position is in another stream.
    #[must_use]
    pub fn applied_seq(&self, position: LogPosition) -> u64 {
        if position.stream_created == self.created {
            position.applied_seq
        } else {
            0
        }
    }
}

impl LogEnd {
    #[must_use]
    pub fn new(stream: String, jetstream: Context) -> Self {
        Self {
            stream,
            jetstream,
            cached: Mutex::new(None),
        }
    }

    /// The log's state, at most a second old. When the cached state ends before `seq`, it is read again: the log may have
    /// grown since.
    ///
    /// # Errors
    /// When NATS does not respond.
    pub async fn covering(&self, seq: u64) -> Result<LogState, NotPublished> {
        let mut cached = self.cached.lock().await;
        if let Some((at, state)) = *cached
            && at.elapsed() < CACHED_FOR
            && seq <= state.last_seq
        {
            return Ok(state);
        }
        self.read(&mut cached).await
    }

    /// The log's state now.
    ///
    /// # Errors
    /// When NATS does not respond.
    pub async fn current(&self) -> Result<LogState, NotPublished> {
        self.read(&mut *self.cached.lock().await).await
    }

    async fn read(
        &self,
        cached: &mut Option<(Instant, LogState)>,
    ) -> Result<LogState, NotPublished> {
        let found = self
            .jetstream
            .get_stream(&self.stream)
            .await
            .map_err(|error| {
                tracing::warn!(%error, stream = self.stream, "reading the end of the log failed");
                NotPublished::Unavailable
            })?;
        let state = LogState {
            created: stream::created(&found),
            last_seq: found.cached_info().state.last_sequence,
        };
        *cached = Some((Instant::now(), state));
        Ok(state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holdfast_common::id::ProductId;

    const LOG: LogState = LogState {
        created: Timestamp(5_000_000),
        last_seq: 10,
    };

    fn at(stream_created: i64, applied_seq: u64) -> LogPosition {
        LogPosition {
            stream_created: Timestamp(stream_created),
            applied_seq,
        }
    }

    #[test]
    fn sequences_are_compared_within_one_stream_only() {
        assert!(LOG.is_pending(7, at(5_000_000, 6)) && !LOG.is_pending(6, at(5_000_000, 6)));
        assert!(
            LOG.is_pending(1, at(4_000_000, 500)),
            "the position is in another stream"
        );
        assert!(
            !LOG.is_pending(11, at(4_000_000, 500)),
            "the sequence is after the end"
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
    fn a_request_older_than_the_stream_is_not_in_it() {
        let created_at = |unix_millis| RequestId::new(ProductId(1).slot(), unix_millis, 0);
        assert!(LOG.may_contain(created_at(5000)) && !LOG.may_contain(created_at(4999)));
    }
}
