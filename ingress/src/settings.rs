//! The settings of an ingress process.

use std::time::Duration;

use clap::Args;
use holdfast_common::settings::{
    EncryptionSettings, HoldSettings, IngressSettings, NatsSettings, PostgresSettings, Secret,
};

#[derive(Args, Clone, Debug)]
pub struct Settings {
    #[command(flatten)]
    pub postgres: PostgresSettings,
    #[command(flatten)]
    pub nats: NatsSettings,
    #[command(flatten)]
    pub holds: HoldSettings,
    #[command(flatten)]
    pub ingress: IngressSettings,
    #[command(flatten)]
    pub encryption: EncryptionSettings,
}

impl Settings {
    /// `REQUEST_WAIT_MS`.
    #[must_use]
    pub fn request_wait(&self) -> Duration {
        Duration::from_millis(self.ingress.request_wait_ms)
    }

    /// `ADMIN_TOKEN`. An empty one counts as none, because every client could guess it.
    #[must_use]
    pub fn admin_token(&self) -> Option<&Secret> {
        self.ingress
            .admin_token
            .as_ref()
            .filter(|token| !token.expose().is_empty())
    }

    /// `DEMO_STORE`.
    #[must_use]
    pub fn has_demo_store(&self) -> bool {
        self.ingress.demo_store.unwrap_or(false)
    }
}
