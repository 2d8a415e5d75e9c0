//! The parts of a running ingress, made once and shared by all handlers.
//!
//! Only wiring: handlers take the parts that they need from [`App`] and pass those on, never the whole.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::FromRef;
use holdfast_common::encryption::Keyring;
use sqlx::PgPool;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::commands::log_end::LogEnd;
use crate::commands::lost_replies::{LostReplies, Recovery};
use crate::commands::positions::AppliedPositions;
use crate::commands::publisher::Publisher;
use crate::commands::queued_keys::QueuedKeys;
use crate::commands::submit::Submitter;
use crate::commands::waiters::Waiters;
use crate::commands::webhooks::WebhookSubmitter;
use crate::commands::webhooks::batches::WebhookPublisher;
use crate::connections::Connections;
use crate::http::body::BodyTimeout;
use crate::http::signature::WebhookSecrets;
use crate::metrics::gauges::GaugeSources;
use crate::operators::cache_requests;
use crate::operators::hold_responses;
use crate::operators::worker_stats::{self, WorkerStatsView};
use crate::products::cache::ProductCache;
use crate::products::listener::Listener;
use crate::rate_limits::RateLimits;
use crate::settings::Settings;

/// The state of all handlers.
pub struct App {
    pub settings: Settings,
    pub connections: Connections,
    pub waiters: Arc<Waiters>,
    pub positions: Arc<AppliedPositions>,
    pub log_end: Arc<LogEnd>,
    pub submitter: Submitter,
    pub webhooks: WebhookSubmitter,
    pub webhook_secrets: WebhookSecrets,
    pub products: Arc<ProductCache>,
    pub rate_limits: Arc<RateLimits>,
    pub worker_stats: Arc<WorkerStatsView>,
    /// The address on which this ingress listens.
    pub listening: SocketAddr,
    /// Cancelled when the ingress stops. It ends event streams, which have no end of their own.
    pub stopping: CancellationToken,
}

impl App {
    /// Makes the parts, and starts the tasks that feed them.
    ///
    /// # Errors
    /// When Postgres fails, or NATS does not accept a subscription.
    pub async fn start(
        settings: Settings,
        connections: Connections,
        listening: SocketAddr,
    ) -> anyhow::Result<(Self, Vec<JoinHandle<()>>)> {
        let partitions = settings.nats.partitions;
        let subjects = &settings.nats.subjects;
        let (pool, keys) = (&connections.pool, &connections.keys);
        let connections_max = settings.ingress.limits.connections_max as usize;
        let waiters = Arc::new(Waiters::new(connections_max));
        let positions = Arc::new(AppliedPositions::load(pool, partitions).await?);
        let log_end = Arc::new(LogEnd::new(
            subjects.log_stream(),
            connections.jetstream.clone(),
        ));
        let submitter = Submitter {
            nats: connections.nats_status.clone(),
            pool: pool.clone(),
            keys: keys.clone(),
            partitions,
            request_wait: settings.request_wait(),
            waiters: Arc::clone(&waiters),
            publisher: Publisher::start(&settings, &connections, &waiters),
            positions: Arc::clone(&positions),
            queued_keys: QueuedKeys::new(&settings, &connections),
            log_end: Arc::clone(&log_end),
        };
        let webhooks = WebhookSubmitter {
            ingress: connections.ingress,
            pool: pool.clone(),
            keys: keys.clone(),
            layout: settings.nats.layout.clone(),
            request_wait: settings.request_wait(),
            waiters: Arc::clone(&waiters),
            positions: Arc::clone(&positions),
            publisher: WebhookPublisher::start(&connections),
        };
        let products = Arc::new(ProductCache::new(
            &settings,
            pool.clone(),
            connections.nats_status.clone(),
        ));
        let worker_stats = Arc::new(WorkerStatsView::default());
        let lost_replies = Arc::new(LostReplies::default());
        let recovery = Recovery {
            lost: Arc::clone(&lost_replies),
            waiters: Arc::clone(&waiters),
            pool: pool.clone(),
            keys: keys.clone(),
            partitions,
        };
        let listener = Listener {
            waiters: Arc::clone(&waiters),
            positions: Arc::clone(&positions),
            products: Arc::clone(&products),
            lost_replies,
        };
        let tasks = vec![
            listener.start(&connections, subjects).await?,
            tokio::spawn(Arc::clone(&products).refresh_subscribed()),
            tokio::spawn(recovery.run()),
            cache_requests::start(&connections, subjects, Arc::clone(&products)).await?,
            hold_responses::start(&connections, subjects).await?,
            worker_stats::start(&connections, subjects, Arc::clone(&worker_stats)).await?,
        ];
        let app = Self {
            waiters,
            positions,
            log_end,
            submitter,
            webhooks,
            webhook_secrets: WebhookSecrets::from_setting(
                settings.ingress.webhook_secrets.as_ref(),
            ),
            products,
            rate_limits: RateLimits::start(&settings.ingress.limits),
            worker_stats,
            listening,
            stopping: CancellationToken::new(),
            settings,
            connections,
        };
        Ok((app, tasks))
    }

    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.connections.pool
    }

    #[must_use]
    pub fn keys(&self) -> &Keyring {
        &self.connections.keys
    }

    /// The parts that the gauges of `/metrics` read.
    #[must_use]
    pub fn gauge_sources(&self) -> GaugeSources {
        GaugeSources {
            pool: self.connections.pool.clone(),
            jetstream: self.connections.jetstream.clone(),
            layout: self.settings.nats.layout.clone(),
            waiters: Arc::clone(&self.waiters),
            positions: Arc::clone(&self.positions),
        }
    }
}

impl FromRef<Arc<App>> for BodyTimeout {
    fn from_ref(app: &Arc<App>) -> Self {
        Self(app.settings.ingress.limits.request_read())
    }
}
