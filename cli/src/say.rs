//! How an operator's command takes effect: it goes into the log like any other, and a worker applies it.

use std::time::Duration;

use anyhow::{anyhow, bail};
use holdfast_common::command::Command;
use holdfast_common::log::{self, internal};
use holdfast_common::settings::NatsSettings;
use tokio::time::Instant;

/// How long a worker may take.
const APPLIED_WAIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(50);

/// Puts a command into the log; tells its sequence there.
pub(crate) async fn say(settings: &NatsSettings, command: &Command) -> anyhow::Result<u64> {
    let nats = log::connect(settings, "holdfast", |_| ()).await?;
    let jetstream = async_nats::jetstream::new(nats);
    log::stream::open(&jetstream, settings).await?;
    internal::say(&jetstream, settings, command, None)
        .await
        .map_err(|error| anyhow!("the log did not take it: {error}"))
}

/// Looks until a worker has applied what was said.
pub(crate) async fn until_applied<T>(mut look: impl AsyncFnMut() -> anyhow::Result<Option<T>>) -> anyhow::Result<T> {
    let give_up = Instant::now() + APPLIED_WAIT;
    while Instant::now() < give_up {
        if let Some(seen) = look().await? {
            return Ok(seen);
        }
        tokio::time::sleep(POLL).await;
    }
    bail!("it is in the log, but no worker has applied it in {APPLIED_WAIT:?}: see that workers run")
}
