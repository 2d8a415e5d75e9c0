//! The command log: the connection to NATS, and the stream that keeps commands in order.
//!
//! Every program connects to the log here, and so checks the same things at its start: the server is new enough and syncs
//! before it acknowledges ([`server`]), and the stream has the required settings ([`stream`]). Next: the publisher is in the
//! ingress, the reader in the workers.

pub mod access;
pub mod atomic;
pub mod internal;
pub mod server;
pub mod stream;

use std::time::Duration;

use async_nats::{Client, Event};
use backon::{ExponentialBuilder, Retryable};

use crate::settings::NatsSettings;

/// The interval of pings on an idle connection. A hung server is detected after two of them.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// The longest time of one attempt to connect.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// The most attempts to connect at the start. Pauses grow up to [`CONNECT_PAUSE_MAX`], so this takes about half a minute.
const CONNECT_TRIES_MAX: usize = 16;
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// A problem with NATS at the start. The operator must solve each of them.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("NATS does not respond at NATS_URL: {0}. Start nats-server, or correct NATS_URL")]
    Unreachable(#[source] async_nats::ConnectError),
    #[error("NATS_URL is not valid: it must be nats:// or tls:// URLs, separated by commas")]
    InvalidUrl,
    #[error("NATS_URL names several users or tokens: use one for all servers")]
    SeveralUsers,
    #[error(
        "{setting} names the file {file}, which can't be used: {problem}. Correct the file or the setting"
    )]
    InvalidFile {
        setting: &'static str,
        file: String,
        problem: String,
    },
    #[error(
        "NATS refuses the user, password, token or credentials: correct the user in NATS_URL, or NATS_CREDENTIALS_FILE"
    )]
    AccessDenied,
    #[error("NATS at NATS_URL can't be used: {0}")]
    Tls(String),
    #[error("nats-server {found} is too old: Holdfast needs {least} or newer, because older ones sync each message of a batch separately. Upgrade nats-server", least = server::LEAST_VERSION)]
    TooOld { found: String },
    #[error(
        "nats-server {server} does not sync before it acknowledges, so a power cut would lose accepted commands: set `jetstream {{ sync_interval: always }}` (see nats.conf) and restart it"
    )]
    NotDurable { server: String },
    #[error("JetStream refused to {operation}: {error}")]
    Refused {
        /// A verb and its object, such as "create the log's stream".
        operation: &'static str,
        error: String,
    },
    #[error(
        "the log was created for {recorded} partitions, and PARTITIONS is {required}: set PARTITIONS={recorded}. The number can't change, because the log's commands depend on it"
    )]
    OtherPartitions {
        /// The number that is recorded with the stream.
        recorded: String,
        /// The number in this process's settings.
        required: u16,
    },
    #[error(
        "stream {stream} has {setting} = {found}, but Holdfast requires {required}: another program changed it, or the server does not know the setting. Correct the stream, or upgrade nats-server"
    )]
    OtherSetting {
        stream: String,
        setting: &'static str,
        found: String,
        required: String,
    },
}

/// Connects, and checks the server. `on_event` is called for lost connections and slow consumers, for example.
///
/// # Errors
/// When the server can't be reached in about half a minute, refuses access, is too old, or acknowledges before it syncs.
pub async fn connect<F>(
    settings: &NatsSettings,
    name: &str,
    on_event: F,
) -> Result<Client, LogError>
where
    F: Fn(&Event) + Clone + Send + Sync + 'static,
{
    let (servers, options) = access::options(settings).await?;
    let options = options
        .name(name)
        .ping_interval(PING_INTERVAL)
        .connection_timeout(CONNECT_WAIT);
    let options = options.event_callback(move |event| {
        on_event(&event);
        async move { tracing::info!(%event, "the connection to NATS changed") }
    });
    let attempt = || options.clone().connect(&servers[..]);
    let pauses = ExponentialBuilder::default()
        .with_jitter()
        .with_max_delay(CONNECT_PAUSE_MAX);
    let client = attempt
        .retry(pauses.with_max_times(CONNECT_TRIES_MAX))
        .when(access::is_transient)
        .notify(|error, _| tracing::warn!(%error, "connecting to NATS failed; trying again"))
        .await
        .map_err(access::connect_error)?;
    server::check(&client).await?;
    Ok(client)
}
