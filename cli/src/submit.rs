//! Submits an operator's command: publishes it to the log and waits until a worker has applied it.

use std::time::Duration;

use anyhow::{anyhow, bail};
use async_nats::jetstream::{self, Context};
use holdfast_common::command::Command;
use holdfast_common::encryption::Keyring;
use holdfast_common::log::{self, internal};
use holdfast_common::outcome::Outcome;
use holdfast_common::settings::NatsSettings;
use holdfast_ingress::store;
use sqlx::PgPool;
use tokio::time::Instant;

const APPLIED_WAIT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// A connection to the log.
pub(crate) struct CommandLog<'s> {
    jetstream: Context,
    settings: &'s NatsSettings,
    keys: &'s Keyring,
}

impl<'s> CommandLog<'s> {
    /// Connects to NATS, and checks that the log's stream is configured for this build.
    pub(crate) async fn connect(
        settings: &'s NatsSettings,
        keys: &'s Keyring,
    ) -> anyhow::Result<Self> {
        let jetstream = jetstream::new(log::connect(settings, "holdfast", |_| ()).await?);
        log::stream::open(&jetstream, settings).await?;
        Ok(Self {
            jetstream,
            settings,
            keys,
        })
    }

    /// Publishes a command, and returns its sequence in the log.
    pub(crate) async fn publish(&self, command: &Command) -> anyhow::Result<u64> {
        internal::publish_internal(&self.jetstream, self.settings, self.keys, command, None)
            .await
            .map_err(|error| anyhow!("the log did not accept the command: {error}"))
    }

    /// Publishes a command, and waits for its outcome.
    pub(crate) async fn submit(&self, pool: &PgPool, command: &Command) -> anyhow::Result<Outcome> {
        let seq = self.publish(command).await?;
        let partition = self.settings.partitions.of(command.slot());
        wait_until_applied(async || {
            let (decision, position) =
                store::request(pool, self.keys, command.request_id, partition).await?;
            match decision {
                Some(decision) => Ok(Some(decision.outcome)),
                None if position.applied_seq >= seq => {
                    bail!("the workers skipped the command: upgrade them to this version")
                }
                None => Ok(None),
            }
        })
        .await
    }
}

/// Polls until `poll` returns a value, for at most 15 seconds.
pub(crate) async fn wait_until_applied<T>(
    mut poll: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let deadline = Instant::now() + APPLIED_WAIT;
    while Instant::now() < deadline {
        if let Some(value) = poll().await? {
            return Ok(value);
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
    bail!(
        "the command is in the log, but no worker has applied it within {APPLIED_WAIT:?}: check that workers are running"
    )
}
