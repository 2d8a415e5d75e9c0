//! How an operator's command takes effect: it goes into the log like any other, and a worker applies it.

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

/// How long a worker may take.
const APPLIED_WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// A connection to the log.
pub(crate) struct Speaker<'s> {
    jetstream: Context,
    settings: &'s NatsSettings,
    keys: &'s Keyring,
}

impl<'s> Speaker<'s> {
    /// Connects to the log and checks it.
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

    /// Puts a command into the log; tells its sequence there.
    pub(crate) async fn say(&self, command: &Command) -> anyhow::Result<u64> {
        internal::say(&self.jetstream, self.settings, self.keys, command, None)
            .await
            .map_err(|error| anyhow!("the log did not take it: {error}"))
    }

    /// The same, and waits for what became of it.
    pub(crate) async fn ask(&self, pool: &PgPool, command: &Command) -> anyhow::Result<Outcome> {
        let seq = self.say(command).await?;
        let partition = self.settings.partitions.of(command.slot());
        until_applied(async || {
            let (decision, position) =
                store::request(pool, self.keys, command.request_id, partition).await?;
            match decision {
                Some(decision) => Ok(Some(decision.outcome)),
                None if position.applied_seq >= seq => {
                    bail!("the workers passed it over: upgrade them to this version")
                }
                None => Ok(None),
            }
        })
        .await
    }
}

/// Puts one command into the log; tells its sequence there.
pub(crate) async fn say(
    settings: &NatsSettings,
    keys: &Keyring,
    command: &Command,
) -> anyhow::Result<u64> {
    Speaker::connect(settings, keys).await?.say(command).await
}

/// Looks until a worker has applied what was said.
pub(crate) async fn until_applied<T>(
    mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let give_up = Instant::now() + APPLIED_WAIT;
    while Instant::now() < give_up {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        tokio::time::sleep(POLL).await;
    }
    bail!(
        "it is in the log, but no worker has applied it in {APPLIED_WAIT:?}: see that workers run"
    )
}
