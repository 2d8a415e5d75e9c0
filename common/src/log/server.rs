//! The requirements of the log on nats-server, checked at every start.
//!
//! A server before 2.15.1 syncs each message of a batch separately. A server with the default `sync_interval` loses up to two
//! minutes of acknowledged messages in a power cut. Neither reports this, so the settings are requested here.

use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt;
use semver::Version;
use serde::Deserialize;

use crate::log::LogError;

/// The oldest supported nats-server.
pub const LEAST_VERSION: Version = Version::new(2, 15, 1);

/// On this subject, `nats.conf` lets Holdfast's account request JetStream's settings.
const SETTINGS_SUBJECT: &str = "holdfast.server.jetstream";
/// The longest wait for the first reply. In a cluster, each server replies.
const REPLY_WAIT: Duration = Duration::from_secs(2);
/// The longest wait for another server's reply.
const MORE_REPLIES_WAIT: Duration = Duration::from_millis(100);

#[derive(Deserialize)]
struct ServerReply {
    server: Server,
    data: Data,
}

#[derive(Deserialize)]
struct Server {
    name: String,
    #[serde(rename = "ver")]
    version: String,
}

#[derive(Deserialize)]
struct Data {
    config: Option<Settings>,
}

#[derive(Deserialize)]
struct Settings {
    #[serde(default)]
    sync_always: bool,
}

/// Whether acknowledged messages survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every server that replied syncs before it acknowledges.
    Synced,
    /// No server replied.
    Unknown,
}

/// Checks the version of the connected server, and the durability of all servers that reply.
///
/// # Errors
/// When a server is too old or does not sync before it acknowledges.
pub async fn check(client: &Client) -> Result<Durability, LogError> {
    check_version(&client.server_info().version)?;
    let replies = request_settings(client).await;
    let durability = if replies.is_empty() {
        Durability::Unknown
    } else {
        Durability::Synced
    };
    if replies.is_empty() {
        tracing::warn!(
            "nats-server did not report whether it syncs before it acknowledges. Set `jetstream {{ sync_interval: always }}`, \
             or a power cut loses accepted commands. With the accounts of Holdfast's nats.conf, the setting can be checked"
        );
    }
    for ServerReply { server, data } in replies {
        check_version(&server.version)?;
        if data.config.is_some_and(|settings| !settings.sync_always) {
            return Err(LogError::NotDurable {
                server: server.name,
            });
        }
    }
    Ok(durability)
}

fn check_version(found: &str) -> Result<(), LogError> {
    let is_new_enough = Version::parse(found).is_ok_and(|version| version >= LEAST_VERSION);
    is_new_enough.then_some(()).ok_or_else(|| LogError::TooOld {
        found: found.to_owned(),
    })
}

/// Requests JetStream's settings from every server. Without the right to do this, there is no reply.
async fn request_settings(client: &Client) -> Vec<ServerReply> {
    let inbox = client.new_inbox();
    let Ok(mut replies) = client.subscribe(inbox.clone()).await else {
        return Vec::new();
    };
    let request = br#"{"config":true}"#.as_slice().into();
    if client
        .publish_with_reply(SETTINGS_SUBJECT, inbox, request)
        .await
        .is_err()
    {
        return Vec::new();
    }
    let mut received = Vec::new();
    let mut wait = REPLY_WAIT;
    while let Ok(Some(message)) = tokio::time::timeout(wait, replies.next()).await {
        // "No responders" is a message without a body.
        let Ok(reply) = serde_json::from_slice(&message.payload) else {
            break;
        };
        received.push(reply);
        wait = MORE_REPLIES_WAIT;
    }
    received
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_before_2_15_1_is_too_old() {
        assert!(check_version("2.15.1").is_ok());
        assert!(check_version("2.16.0").is_ok());
        assert!(check_version("3.0.0").is_ok());
        for old in ["2.9.10", "2.15.0", "2.15.1-RC.1", "", "new"] {
            let message = check_version(old).unwrap_err().to_string();
            assert!(message.contains("2.15.1"), "{message}");
        }
    }
}
