//! The command log: the connection to NATS, and the stream that keeps commands in order.
//!
//! Everybody who writes or reads the log comes through here, so that each checks the same things at its start:
//! a server that is new enough, that syncs before it acknowledges ([`server`]), and a stream with just the settings
//! that were asked for ([`stream`]). Next: publishers are in the ingress, readers in the workers.

pub mod access;
pub mod atomic;
pub mod internal;
pub mod server;
pub mod stream;

use std::time::Duration;

use async_nats::{Client, Event};
use backon::{ExponentialBuilder, Retryable};

use crate::settings::NatsSettings;

/// How often an idle connection is probed: a hung server is noticed after two of these.
const PING_INTERVAL: Duration = Duration::from_secs(2);
/// How long one attempt to connect may take.
const CONNECT_WAIT: Duration = Duration::from_secs(2);
/// How often the start tries to connect, with growing pauses of at most [`CONNECT_PAUSE_MAX`]: half a minute in all.
const CONNECT_TRIES_MAX: usize = 16;
const CONNECT_PAUSE_MAX: Duration = Duration::from_secs(2);

/// What can go wrong with NATS at the start. All of it is for an operator to mend.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Nobody answers.
    #[error("NATS does not answer at NATS_URL: {0}. Start nats-server, or correct NATS_URL")]
    Unreachable(#[source] async_nats::ConnectError),
    /// What says where NATS is makes no sense.
    #[error("NATS_URL is no list of nats:// or tls:// URLs with commas between them")]
    InvalidUrl,
    /// More than one user stands in the URLs.
    #[error("NATS_URL names several users or tokens: one has to do for all servers")]
    SeveralUsers,
    /// A file that a setting names won't do.
    #[error("{setting} names {file}, which won't do: {why}. Correct the file or the setting")]
    NoFile {
        /// The setting.
        setting: &'static str,
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The server knows us not.
    #[error(
        "NATS knows no such user, or not with this password, token or credentials: correct the user in NATS_URL, or NATS_CREDENTIALS_FILE"
    )]
    NotLetIn,
    /// TLS failed.
    #[error("NATS at NATS_URL can't be used: {0}")]
    Tls(String),
    /// The server is too old.
    #[error("nats-server {found} is too old: Holdfast needs {least} or newer, since older ones sync each message of a batch by itself. Upgrade nats-server", least = server::LEAST_VERSION)]
    TooOld {
        /// The version it says it has.
        found: String,
    },
    /// The server acknowledges before it syncs.
    #[error(
        "nats-server {server} does not sync before it acknowledges, so a power cut would lose accepted commands: set `jetstream {{ sync_interval: always }}` (see nats.conf) and restart it"
    )]
    NotDurable {
        /// The server's name.
        server: String,
    },
    /// JetStream did not do what was asked.
    #[error("JetStream refused to {what}: {why}")]
    Refused {
        /// What was asked.
        what: &'static str,
        /// What it said.
        why: String,
    },
    /// The log was made for another number of partitions.
    #[error(
        "the log was made for {recorded} partitions and PARTITIONS is {asked}: set PARTITIONS={recorded}, since commands are already filed by it"
    )]
    OtherPartitions {
        /// The number that is recorded with the stream.
        recorded: String,
        /// The number this process was started with.
        asked: u16,
    },
    /// JetStream kept a setting other than what was asked.
    #[error(
        "stream {stream} has {setting} = {found}, asked was {asked}: another program changed it, or the server does not know the setting"
    )]
    OtherSetting {
        /// The stream.
        stream: String,
        /// The setting's name.
        setting: &'static str,
        /// The value it has.
        found: String,
        /// The value that was asked for.
        asked: String,
    },
}

/// Connects, and checks the server. `on_event` hears of lost connections and slow consumers.
///
/// # Errors
/// When the server can't be reached in about half a minute, does not let us in, is too old, or does not sync before it acknowledges.
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
        async move { tracing::info!(%event, "NATS connection") }
    });
    let attempt = || options.clone().connect(&servers[..]);
    let pauses = ExponentialBuilder::default()
        .with_jitter()
        .with_max_delay(CONNECT_PAUSE_MAX);
    let client = attempt
        .retry(pauses.with_max_times(CONNECT_TRIES_MAX))
        .when(access::may_pass)
        .notify(|error, _| tracing::warn!(%error, "NATS does not answer yet"))
        .await
        .map_err(access::failed)?;
    server::check(&client).await?;
    Ok(client)
}
