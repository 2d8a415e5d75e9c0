//! Which request an idempotency key that is still queued was first given.
//!
//! The worker makes sure that a key has one effect and one outcome, but until then two ingresses know nothing of each
//! other's requests. So whoever answers 202 to a request with a key first claims the key in a small bucket in NATS's
//! memory, and a repeat is given the claim's request. That the bucket may be lost does no harm: the repeat is then a
//! request of its own, with the same outcome. Only answers of 202 come here, so it costs the others nothing.

use std::time::Duration;

use async_nats::jetstream::kv::{self, CreateErrorKind, Store};
use async_nats::jetstream::stream::StorageType;
use bytes::Bytes;
use holdfast_common::command::Command;
use holdfast_common::id::RequestId;
use tokio::sync::Mutex;

use crate::Settings;
use crate::connections::Connections;

/// How long a claim is kept at most: a client that comes back later is told the outcome, or queues anew. Never longer than
/// the key itself, for then a repeat is another request.
const CLAIM_FOR_MAX: Duration = Duration::from_secs(600);
/// The most memory claims may take in NATS.
const CLAIMS_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// How long a claim may take.
const CLAIM_WAIT: Duration = Duration::from_secs(1);

/// A request that was accepted: its id and its sequence in the log.
pub type Accepted = (RequestId, u64);

/// The bucket of claims.
pub struct QueuedKeys {
    bucket: String,
    claim_for: Duration,
    jetstream: async_nats::jetstream::Context,
    /// Found again after it was lost: NATS keeps it in memory, so a restart makes it anew.
    store: Mutex<Option<Store>>,
}

impl QueuedKeys {
    /// Nothing is opened before the first claim.
    #[must_use]
    pub fn new(settings: &Settings, connections: &Connections) -> Self {
        let bucket = settings.nats.subjects.queued_keys_bucket();
        let claim_for = CLAIM_FOR_MAX.min(Duration::from_secs(
            settings.holds.idempotency_key_ttl.into(),
        ));
        Self {
            bucket,
            claim_for,
            jetstream: connections.jetstream.clone(),
            store: Mutex::new(None),
        }
    }

    /// Claims a command's key for a request that was accepted, and says which request has the claim. A command without
    /// a key is its own.
    pub async fn claim(&self, command: &Command, accepted: Accepted) -> Accepted {
        let Some(name) = claim_name(command) else {
            return accepted;
        };
        let claim = async {
            match self.first(&name, accepted).await {
                Ok(first) => Ok(first),
                Err(error) => {
                    tracing::info!(%error, "the bucket of queued keys is opened anew");
                    *self.store.lock().await = None;
                    self.first(&name, accepted).await
                }
            }
        };
        match tokio::time::timeout(CLAIM_WAIT, claim).await {
            Ok(Ok(first)) => first,
            Ok(Err(error)) => {
                tracing::warn!(%error, "a queued idempotency key could not be claimed");
                accepted
            }
            Err(_) => accepted,
        }
    }

    async fn first(&self, name: &str, (request_id, seq): Accepted) -> anyhow::Result<Accepted> {
        let store = self.opened().await?;
        match store
            .create(name, format!("{request_id} {seq}").into())
            .await
        {
            Ok(_) => Ok((request_id, seq)),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let claim = store.get(name).await?;
                Ok(claim
                    .as_ref()
                    .and_then(read_claim)
                    .unwrap_or((request_id, seq)))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn opened(&self) -> anyhow::Result<Store> {
        let mut store = self.store.lock().await;
        match &*store {
            Some(store) => Ok(store.clone()),
            None => Ok(store.insert(self.open().await?).clone()),
        }
    }

    async fn open(&self) -> anyhow::Result<Store> {
        let config = kv::Config {
            bucket: self.bucket.clone(),
            description: "Which request a queued idempotency key was first given".to_owned(),
            history: 1,
            max_age: self.claim_for,
            max_bytes: CLAIMS_BYTES_MAX,
            storage: StorageType::Memory,
            ..kv::Config::default()
        };
        Ok(self.jetstream.create_or_update_key_value(config).await?)
    }
}

/// A claim is for one key at one endpoint with one body: a request with another body is refused by the worker, so it
/// must not be given this one's outcome.
fn claim_name(command: &Command) -> Option<String> {
    let key = command.key?;
    let endpoint = command.action.endpoint()? as i16;
    Some(format!(
        "{endpoint}.{}.{}",
        hex::encode(key.hash),
        hex::encode(key.fingerprint)
    ))
}

fn read_claim(claim: &Bytes) -> Option<Accepted> {
    let (request_id, seq) = std::str::from_utf8(claim).ok()?.split_once(' ')?;
    Some((request_id.parse().ok()?, seq.parse().ok()?))
}
