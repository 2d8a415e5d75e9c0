//! What the log needs of nats-server, checked at every start.
//!
//! A server before 2.15.1 syncs each message by itself; one with the default `sync_interval` loses up to two minutes of
//! what it acknowledged when the power fails. Neither says so by itself, so it is asked.

use std::time::Duration;

use async_nats::Client;
use futures_util::StreamExt;
use semver::Version;
use serde::Deserialize;

use crate::log::LogError;

/// The oldest nats-server that will do.
pub const LEAST_VERSION: Version = Version::new(2, 15, 1);

/// Where `nats.conf` lets Holdfast's account ask for JetStream's settings.
const SETTINGS_SUBJECT: &str = "holdfast.server.jetstream";
/// How long servers may take to answer; each of a cluster answers for itself.
const ANSWER_WAIT: Duration = Duration::from_secs(2);
/// How long to go on listening for more servers after one has answered.
const MORE_ANSWERS_WAIT: Duration = Duration::from_millis(100);

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

/// Whether what is acknowledged survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// Every server that answered syncs before it acknowledges.
    Synced,
    /// None says.
    Unknown,
}

/// Checks the version of the server we are connected to, and the durability of all that answer.
///
/// # Errors
/// When a server is too old or does not sync before it acknowledges.
pub async fn check(client: &Client) -> Result<Durability, LogError> {
    check_version(&client.server_info().version)?;
    let answers = request_settings(client).await;
    let durability = if answers.is_empty() {
        Durability::Unknown
    } else {
        Durability::Synced
    };
    if answers.is_empty() {
        tracing::warn!(
            "nats-server does not say whether it syncs before it acknowledges. Unless it is set to \
             `jetstream {{ sync_interval: always }}`, a power cut loses accepted commands; the accounts in Holdfast's \
             nats.conf let it be checked"
        );
    }
    for ServerReply { server, data } in answers {
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

/// Asks every server for JetStream's settings. None answers when the account was not given that right.
async fn request_settings(client: &Client) -> Vec<ServerReply> {
    let inbox = client.new_inbox();
    let Ok(mut answers) = client.subscribe(inbox.clone()).await else {
        return Vec::new();
    };
    let question = br#"{"config":true}"#.as_slice().into();
    if client
        .publish_with_reply(SETTINGS_SUBJECT, inbox, question)
        .await
        .is_err()
    {
        return Vec::new();
    }
    let mut heard = Vec::new();
    let mut wait = ANSWER_WAIT;
    while let Ok(Some(message)) = tokio::time::timeout(wait, answers.next()).await {
        // "No responders" is a message without a body.
        let Ok(answer) = serde_json::from_slice(&message.payload) else {
            break;
        };
        heard.push(answer);
        wait = MORE_ANSWERS_WAIT;
    }
    heard
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_before_2_15_1_are_too_old() {
        assert!(check_version("2.15.1").is_ok());
        assert!(check_version("2.16.0").is_ok());
        assert!(check_version("3.0.0").is_ok());
        for old in ["2.9.10", "2.15.0", "2.15.1-RC.1", "", "new"] {
            let message = check_version(old).unwrap_err().to_string();
            assert!(message.contains("2.15.1"), "{message}");
        }
    }
}
