//! Settings of outgoing events.

use clap::{Args, ValueEnum};

use crate::settings::Secret;

/// A setting that is on or off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// Settings of the events that Holdfast publishes.
#[derive(Args, Clone, Debug)]
pub struct EventSettings {
    /// Whether every change is published as a CloudEvent on the stream <NATS_PREFIX>-events
    #[arg(long, env = "EVENTS", value_enum, default_value = "off")]
    pub events: Switch,
    /// URLs to which events are posted, separated by commas. Turns EVENTS on
    #[arg(long, env = "EVENT_URLS", hide_env_values = true)]
    pub event_urls: Option<Secret>,
    /// Secrets that sign posted events as in Standard Webhooks (`whsec_` and base64, or any text), separated by commas. Each
    /// event gets one signature per secret
    #[arg(long, env = "EVENT_SECRETS", hide_env_values = true)]
    pub event_secrets: Option<Secret>,
    /// How long an event is retried when its receiver does not accept it, in seconds. Then it becomes an event dead letter
    #[arg(long, env = "EVENT_RETRY_SECONDS", default_value_t = 259_200, value_parser = clap::value_parser!(u32).range(1..=604_800))]
    pub event_retry_seconds: u32,
    /// Largest size of the event stream, in MiB. When it is full, the oldest events are removed first
    #[arg(long, env = "EVENTS_MAX_MB", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub events_max_mb: u32,
}

impl EventSettings {
    /// Whether events are published.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.events == Switch::On || !self.urls().is_empty()
    }

    /// The URLs of `EVENT_URLS`.
    #[must_use]
    pub fn urls(&self) -> Vec<Secret> {
        split(self.event_urls.as_ref())
    }

    /// The secrets of `EVENT_SECRETS`.
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
