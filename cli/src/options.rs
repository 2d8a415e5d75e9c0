//! Options for the connections that several commands need.

use clap::Args;
use holdfast_common::encryption::Keyring;
use holdfast_common::settings::{EncryptionSettings, NatsSettings, PostgresSettings};
use sqlx::PgPool;

use crate::store;

/// Postgres, for commands that read or write customers or payments.
#[derive(Args)]
pub(crate) struct EncryptedStore {
    #[command(flatten)]
    pub(crate) postgres: PostgresSettings,
    #[command(flatten)]
    pub(crate) encryption: EncryptionSettings,
}

impl EncryptedStore {
    /// Connects, and checks the schema and the encryption keys. `name` is the connection's application name in Postgres.
    pub(crate) async fn open(&self, name: &str) -> anyhow::Result<(PgPool, Keyring)> {
        store::open_encrypted(&self.postgres, &self.encryption, name).await
    }
}

/// Postgres and NATS, for commands that publish to the log.
#[derive(Args)]
pub(crate) struct StoreAndLog {
    #[command(flatten)]
    pub(crate) store: EncryptedStore,
    #[command(flatten)]
    pub(crate) nats: NatsSettings,
}
