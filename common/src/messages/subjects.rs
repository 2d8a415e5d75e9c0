//! Names in NATS, all under one prefix, so that several deployments can share a server.

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

/// Says why a text can't be the prefix.
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

    /// Every partition's subject in the log.
    #[must_use]
    pub fn all_commands(&self) -> String {
        format!("{}.cmd.*", self.prefix)
    }

    /// One partition's subject in the log.
    #[must_use]
    pub fn commands(&self, partition: Partition) -> String {
        format!("{}.cmd.{partition}", self.prefix)
    }

    /// The stream of expiry tickets.
    #[must_use]
    pub fn expiry_stream(&self) -> String {
        format!("{}-expiry", self.prefix)
    }

    /// Every partition's subject of tickets.
    #[must_use]
    pub fn all_tickets(&self) -> String {
        format!("{}.due.*", self.prefix)
    }

    /// One partition's subject of tickets.
    #[must_use]
    pub fn tickets(&self, partition: Partition) -> String {
        format!("{}.due.{partition}", self.prefix)
    }

    /// The stream of outgoing events.
    #[must_use]
    pub fn event_stream(&self) -> String {
        format!("{}-events", self.prefix)
    }

    /// Every partition's subject of events.
    #[must_use]
    pub fn all_events(&self) -> String {
        format!("{}.events.*", self.prefix)
    }

    /// One partition's subject of events.
    #[must_use]
    pub fn events(&self, partition: Partition) -> String {
        format!("{}.events.{partition}", self.prefix)
    }

    /// What calls a deployment its own in events.
    #[must_use]
    pub fn source(&self) -> String {
        format!("/holdfast/{}", self.prefix)
    }

    /// Where one ingress hears its replies.
    #[must_use]
    pub fn replies(&self, ingress: IngressId) -> String {
        format!("{}.out.{:016x}", self.prefix, ingress.0)
    }

    /// Where every ingress hears the news.
    #[must_use]
    pub fn news(&self) -> String {
        format!("{}.news", self.prefix)
    }

    /// Where every ingress hears how workers' work goes.
    #[must_use]
    pub fn work(&self) -> String {
        format!("{}.work", self.prefix)
    }

    /// Where every ingress hears what is asked of the products that it has in memory.
    #[must_use]
    pub fn cache(&self) -> String {
        format!("{}.cache", self.prefix)
    }

    /// Where every ingress hears that somebody wants to know what it has answered.
    #[must_use]
    pub fn answers(&self) -> String {
        format!("{}.answers", self.prefix)
    }

    /// Where one of the workers hears what is asked for dead events.
    #[must_use]
    pub fn dead_events(&self) -> String {
        format!("{}.dead-events", self.prefix)
    }

    /// Where a worker says that it has given a partition back.
    #[must_use]
    pub fn given_back(&self) -> String {
        format!("{}.given-back", self.prefix)
    }

    /// The bucket that remembers which request a key that is still queued was first given.
    #[must_use]
    pub fn queued_keys_bucket(&self) -> String {
        format!("{}-queued-keys", self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_can_not_reach_into_other_subjects() {
        assert!("holdfast".parse::<Subjects>().is_ok());
        for prefix in ["", "a.b", "a*", ">", "a b", "$SYS"] {
            assert_eq!(prefix.parse::<Subjects>(), Err(InvalidPrefix), "{prefix}");
        }
    }
}
