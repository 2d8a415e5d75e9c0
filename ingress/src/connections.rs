//! The ingress's connections to Postgres and NATS, opened and checked at the start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Event};
use holdfast_common::encryption::{self, Keyring};
use holdfast_common::log;
use holdfast_common::messages::reply::IngressId;
use holdfast_common::store::postgres::{self, PoolOptions};
use holdfast_common::store::schema;
use sqlx::PgPool;

use crate::settings::Settings;

/// The connections to Postgres. The ingress only reads, and most reads come from memory.
const POOL: PoolOptions<'_> = PoolOptions {
    name: concat!("holdfast-ingress ", env!("CARGO_PKG_VERSION")),
    connections_max: 8,
    session: &[("statement_timeout", "3000")],
    tests_before_use: true,
};
/// How long JetStream may take to acknowledge one attempt to publish.
pub const ACK_WAIT: Duration = Duration::from_millis(2500);

/// The connections and keys of an ingress.
pub struct Connections {
    /// Random for each start. Workers send replies to it.
    pub ingress: IngressId,
    pub pool: PgPool,
    /// Encrypts customer ids and payment ids.
    pub keys: Keyring,
    pub nats: Client,
    pub jetstream: Context,
    pub nats_status: NatsStatus,
}

/// The state of the connection to NATS.
#[derive(Clone)]
pub struct NatsStatus {
    client: Client,
    interruptions: Arc<AtomicU64>,
}

impl NatsStatus {
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.client.connection_state() == State::Connected
    }

    /// How often messages may have been lost. State that was built from messages before the last interruption may be old.
    #[must_use]
    pub fn interruptions(&self) -> u64 {
        self.interruptions.load(Ordering::Relaxed)
    }
}

impl Connections {
    /// Opens and checks the connections.
    ///
    /// # Errors
    /// When Postgres or NATS can't be reached, or its schema, keys or streams do not fit.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let keys = settings.encryption.keyring()?;
        let pool = postgres::connect(&settings.postgres, POOL).await?;
        schema::check(&pool).await?;
        encryption::check::check(&pool, &keys).await?;
        let interruptions = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&interruptions);
        let on_event = move |event: &Event| {
            // After each of these, news and replies may be lost.
            if matches!(
                event,
                Event::Connected | Event::Disconnected | Event::SlowConsumer(_)
            ) {
                count.fetch_add(1, Ordering::Relaxed);
            }
        };
        let nats = log::connect(&settings.nats, "holdfast-ingress", on_event).await?;
        let jetstream = jetstream::ContextBuilder::new()
            .ack_timeout(ACK_WAIT)
            .build(nats.clone());
        log::stream::open(&jetstream, &settings.nats).await?;
        Ok(Self {
            ingress: IngressId(rand::random()),
            pool,
            keys,
            jetstream,
            nats_status: NatsStatus {
                client: nats.clone(),
                interruptions,
            },
            nats,
        })
    }

    pub async fn close(&self) {
        self.pool.close().await;
        if let Err(error) = self.nats.drain().await {
            tracing::debug!(%error, "draining the connection to NATS failed; it was closed already");
        }
    }
}
