//! Settings of outgoing events.

use clap::{Args, ValueEnum};

use crate::settings::Secret;

/// Whether something is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// What becomes of changes outside of Holdfast.
#[derive(Args, Clone, Debug)]
pub struct EventSettings {
    /// Whether changes are published as events on the stream <NATS_PREFIX>-events
    #[arg(long, env = "EVENTS", value_enum, default_value = "off")]
    pub events: Switch,
    /// Where events are posted, as URLs with commas between them; turns EVENTS on
    #[arg(long, env = "EVENT_URLS", hide_env_values = true)]
    pub event_urls: Option<Secret>,
    /// The secrets that posted events are signed with, with commas between them, as Standard Webhooks has it (`whsec_` and base64, or any text)
    #[arg(long, env = "EVENT_SECRETS", hide_env_values = true)]
    pub event_secrets: Option<Secret>,
    /// How long an event is posted again and again to a receiver that does not take it, in seconds
    #[arg(long, env = "EVENT_RETRY_SECONDS", default_value_t = 259_200, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub event_retry_seconds: u32,
    /// The most disk space that events may take, in MiB; the oldest go first
    #[arg(long, env = "EVENTS_MAX_MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub events_max_mb: u32,
}

impl EventSettings {
    /// Whether events are published.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.events == Switch::On || !self.urls().is_empty()
    }

    /// Where events are posted.
    #[must_use]
    pub fn urls(&self) -> Vec<Secret> {
        split(self.event_urls.as_ref())
    }

    /// What posted events are signed with.
    #[must_use]
    pub fn secrets(&self) -> Vec<Secret> {
        split(self.event_secrets.as_ref())
    }
}

fn split(list: Option<&Secret>) -> Vec<Secret> {
    let parts = list.iter().flat_map(|list| list.expose().split(','));
    parts
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(|part| Secret::from(part.to_owned()))
        .collect()
}
