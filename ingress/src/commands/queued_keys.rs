//! The first request of each idempotency key that has no outcome yet.
//!
//! A worker ensures that a key has one effect and one outcome. Before the outcome is committed, two ingresses do not
//! know each other's requests. So an ingress that responds 202 to a request with a key first claims the key in a small bucket in the memory
//! of NATS, and a repeat gets the request id of the claim. When NATS loses the bucket, a repeat becomes a request of its
//! own, with the same outcome. Only responses with 202 use the bucket, so all other requests pay nothing for it.

use std::time::Duration;

use async_nats::jetstream::kv::{self, CreateErrorKind, Store};
use async_nats::jetstream::stream::StorageType;
use bytes::Bytes;
use holdfast_common::command::Command;
use holdfast_common::id::RequestId;
use tokio::sync::Mutex;

use crate::connections::Connections;
use crate::settings::Settings;

/// The longest life of a claim: a client that repeats later gets the outcome, or queues again. A claim must not live
/// longer than its key, because then a repeat is another request.
const CLAIM_FOR_MAX: Duration = Duration::from_secs(600);
const CLAIMS_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// The timeout of a claim. After it, the request keeps its own id.
const CLAIM_WAIT: Duration = Duration::from_secs(1);

/// A request in the log: its id and its sequence.
pub type PublishedRequest = (RequestId, u64);

/// The bucket of claims. It is opened at the first claim.
pub struct QueuedKeys {
    bucket: String,
    claim_for: Duration,
    jetstream: async_nats::jetstream::Context,
    /// `None` until the first claim, and after an error: a restart of NATS loses the bucket, so it is created again.
    store: Mutex<Option<Store>>,
}

impl QueuedKeys {
    #[must_use]
    pub fn new(settings: &Settings, connections: &Connections) -> Self {
        let key_ttl = Duration::from_secs(settings.holds.idempotency_key_ttl.into());
        Self {
            bucket: settings.nats.subjects.queued_keys_bucket(),
            claim_for: CLAIM_FOR_MAX.min(key_ttl),
            jetstream: connections.jetstream.clone(),
            store: Mutex::new(None),
        }
    }

    /// Claims a command's key for a request, and returns the request that has the claim. A command without a key needs no
    /// claim.
    pub async fn claim(&self, command: &Command, own: PublishedRequest) -> PublishedRequest {
        let Some(name) = claim_name(command) else {
            return own;
        };
        let claim = async {
            match self.first(&name, own).await {
                Ok(first) => Ok(first),
                Err(error) => {
                    tracing::info!(%error, bucket = self.bucket, "reopening the bucket of queued idempotency keys");
                    *self.store.lock().await = None;
                    self.first(&name, own).await
                }
            }
        };
        match tokio::time::timeout(CLAIM_WAIT, claim).await {
            Ok(Ok(first)) => first,
            Ok(Err(error)) => {
                tracing::warn!(
                    %error, request_id = %own.0,
                    "claiming a queued idempotency key failed; the request keeps its own id"
                );
                own
            }
            Err(_) => own,
        }
    }

    async fn first(&self, name: &str, own: PublishedRequest) -> anyhow::Result<PublishedRequest> {
        let store = self.store().await?;
        let (request_id, seq) = own;
        match store
            .create(name, format!("{request_id} {seq}").into())
            .await
        {
            Ok(_) => Ok(own),
            Err(error) if error.kind() == CreateErrorKind::AlreadyExists => {
                let claim = store.get(name).await?;
                Ok(claim.as_ref().and_then(read_claim).unwrap_or(own))
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn store(&self) -> anyhow::Result<Store> {
        let mut store = self.store.lock().await;
        match &*store {
            Some(store) => Ok(store.clone()),
            None => Ok(store.insert(self.open().await?).clone()),
        }
    }

    async fn open(&self) -> anyhow::Result<Store> {
        let config = kv::Config {
            bucket: self.bucket.clone(),
            description: "The first request of each queued idempotency key".to_owned(),
            history: 1,
            max_age: self.claim_for,
            max_bytes: CLAIMS_BYTES_MAX,
            storage: StorageType::Memory,
            ..kv::Config::default()
        };
        Ok(self.jetstream.create_or_update_key_value(config).await?)
    }
}

/// A claim is for one key, endpoint and body. The worker refuses the same key with another body, so that request must not
/// get the outcome of this one.
fn claim_name(command: &Command) -> Option<String> {
    let key = command.key?;
    let endpoint = command.action.endpoint()? as i16;
    Some(format!(
        "{endpoint}.{}.{}",
        hex::encode(key.hash),
        hex::encode(key.fingerprint)
    ))
}

fn read_claim(claim: &Bytes) -> Option<PublishedRequest> {
    let (request_id, seq) = std::str::from_utf8(claim).ok()?.split_once(' ')?;
    Some((request_id.parse().ok()?, seq.parse().ok()?))
}
