//! The names of subjects and streams in NATS. All have the deployment's prefix, so that several deployments can share a server.

use std::str::FromStr;

use crate::messages::reply::IngressId;
use crate::partition::Partition;

/// The longest prefix, in characters.
const PREFIX_CHARS_MAX: usize = 64;

/// The prefix of all subjects and streams of a deployment (`NATS_PREFIX`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("NATS_PREFIX must be 1 to {PREFIX_CHARS_MAX} letters, digits, '-' or '_'")]
pub struct InvalidPrefix;

impl FromStr for Subjects {
    type Err = InvalidPrefix;

    fn from_str(prefix: &str) -> Result<Self, InvalidPrefix> {
        let is_allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let is_prefix =
            (1..=PREFIX_CHARS_MAX).contains(&prefix.len()) && prefix.chars().all(is_allowed);
        is_prefix
            .then(|| Self {
                prefix: prefix.to_owned(),
            })
            .ok_or(InvalidPrefix)
    }
}

impl Subjects {
    /// The stream that is the log.
    #[must_use]
    pub fn log_stream(&self) -> String {
        format!("{}-commands", self.prefix)
    }

    /// The commands of all partitions.
    #[must_use]
    pub fn all_commands(&self) -> String {
        format!("{}.cmd.*", self.prefix)
    }

    /// The commands of one partition.
    #[must_use]
    pub fn commands(&self, partition: Partition) -> String {
        format!("{}.cmd.{partition}", self.prefix)
    }

    /// The stream of expiry tickets.
    #[must_use]
    pub fn expiry_stream(&self) -> String {
        format!("{}-expiry", self.prefix)
    }

    /// The tickets of all partitions.
    #[must_use]
    pub fn all_tickets(&self) -> String {
        format!("{}.due.*", self.prefix)
    }

    /// The tickets of one partition.
    #[must_use]
    pub fn tickets(&self, partition: Partition) -> String {
        format!("{}.due.{partition}", self.prefix)
    }

    /// The stream of outgoing events.
    #[must_use]
    pub fn event_stream(&self) -> String {
        format!("{}-events", self.prefix)
    }

    /// The events of all partitions.
    #[must_use]
    pub fn all_events(&self) -> String {
        format!("{}.events.*", self.prefix)
    }

    /// The events of one partition.
    #[must_use]
    pub fn events(&self, partition: Partition) -> String {
        format!("{}.events.{partition}", self.prefix)
    }

    /// The `source` of the deployment's events.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/holdfast/{}", self.prefix)
    }

    /// Workers' replies to one ingress.
    #[must_use]
    pub fn replies(&self, ingress: IngressId) -> String {
        format!("{}.out.{:016x}", self.prefix, ingress.0)
    }

    /// Workers' news to every ingress.
    #[must_use]
    pub fn news(&self) -> String {
        format!("{}.news", self.prefix)
    }

    /// Workers' statistics to every ingress.
    #[must_use]
    pub fn worker_stats(&self) -> String {
        format!("{}.work", self.prefix)
    }

    /// Operators' requests to the product cache of every ingress.
    #[must_use]
    pub fn cache_requests(&self) -> String {
        format!("{}.cache", self.prefix)
    }

    /// Requests to every ingress for its counts of hold responses.
    #[must_use]
    pub fn hold_responses(&self) -> String {
        format!("{}.answers", self.prefix)
    }

    /// Operators' requests for event dead letters. One worker takes each request.
    #[must_use]
    pub fn event_dead_letters(&self) -> String {
        format!("{}.dead-events", self.prefix)
    }

    /// Notices of a worker that it has given a partition back.
    #[must_use]
    pub fn given_back(&self) -> String {
        format!("{}.given-back", self.prefix)
    }

    /// The key-value bucket with the first request of each idempotency key whose request is still queued.
    #[must_use]
    pub fn queued_keys_bucket(&self) -> String {
        format!("{}-queued-keys", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_with_subject_syntax_is_refused() {
        assert!("holdfast".parse::<Subjects>().is_ok());
        for prefix in ["", "a.b", "a*", ">", "a b", "$SYS"] {
            assert_eq!(prefix.parse::<Subjects>(), Err(InvalidPrefix), "{prefix}");
        }
    }
}
