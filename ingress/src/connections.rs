//! The ingress's connections to Postgres and NATS, opened and checked at its start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::connection::State;
use async_nats::jetstream::{self, Context};
use async_nats::{Client, Event};
use holdfast_common::encryption::{self, Keyring};
use holdfast_common::log;
use holdfast_common::messages::reply::IngressId;
use holdfast_common::store::postgres::{self, Pool};
use holdfast_common::store::schema;
use sqlx::PgPool;

use crate::Settings;

/// Connections to Postgres. The ingress only reads, and only what is not in memory.
const POOL: Pool<'_> = Pool {
    name: concat!("holdfast-ingress ", env!("CARGO_PKG_VERSION")),
    connections_max: 8,
    session: &[("statement_timeout", "3000")],
    tests_before_use: true,
};
/// How long JetStream may take to acknowledge one attempt to publish.
pub const ACK_WAIT: Duration = Duration::from_millis(2500);

/// What connects an ingress with the rest.
pub struct Connections {
    /// Who we are to the workers.
    pub ingress: IngressId,
    /// Postgres.
    pub pool: PgPool,
    /// What customers and payments are sealed by.
    pub keys: Keyring,
    /// NATS.
    pub nats: Client,
    /// The log.
    pub jetstream: Context,
    interruptions: Arc<AtomicU64>,
}

impl Connections {
    /// Opens and checks both.
    ///
    /// # Errors
    /// When one can't be reached or is not what Holdfast needs.
    pub async fn open(settings: &Settings) -> anyhow::Result<Self> {
        let keys = settings.encryption.keyring()?;
        let pool = postgres::connect(&settings.postgres, POOL).await?;
        schema::check(&pool).await?;
        encryption::check::check(&pool, &keys).await?;
        let interruptions = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&interruptions);
        let on_event = move |event: &Event| {
            // After any of these, news and replies may have passed us by.
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
            nats,
            jetstream,
            interruptions,
        })
    }

    /// Whether NATS is there just now.
    #[must_use]
    pub fn has_nats(&self) -> bool {
        self.nats.connection_state() == State::Connected
    }

    /// How often news may have passed us by: what was learnt before the last time can't be relied on.
    #[must_use]
    pub fn interruptions(&self) -> u64 {
        self.interruptions.load(Ordering::Relaxed)
    }

    /// Ends both.
    pub async fn close(&self) {
        self.pool.close().await;
        if let Err(error) = self.nats.drain().await {
            tracing::debug!(%error, "NATS was gone already");
        }
    }
}
