//! The ingress: validates HTTP requests, publishes them as commands, and answers with their outcomes.
//!
//! A request's way: [`http`] reads its form, a function in [`routes`] makes the command, [`submit`] hands it to the
//! [`publisher`] of its partition and waits in [`waiters`] for the outcome, which [`http::render`] turns into a response.
//! Reads go to [`store`] and to [`stock`], the products in memory that the workers' news keeps fresh. Nothing in here
//! changes business state. [`measures`] says what is counted on the way.

pub mod commands;
pub mod connections;
pub mod demo;
pub mod http;
pub mod metrics;
pub mod operators;
pub mod pages;
pub mod products;
pub mod rate_limits;
pub mod routes;
pub mod server;
pub mod store;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use clap::Args;
use holdfast_common::encryption::Keyring;
use holdfast_common::settings::{
    EncryptionSettings, HoldSettings, IngressSettings, NatsSettings, PostgresSettings, Secret,
};
use tokio_util::sync::CancellationToken;

use crate::commands::log::Log;
use crate::commands::lost_replies::Missed;
use crate::commands::publisher::Publisher;
use crate::commands::queued_keys::QueuedKeys;
use crate::commands::waiters::Waiters;
use crate::commands::webhooks::publisher::WebhookPublisher;
use crate::connections::Connections;
use crate::demo::loopback;
use crate::http::signature::WebhookSecrets;
use crate::metrics::gauges::{self, Gauges};
use crate::operators::worker_stats::AllWork;
use crate::products::cache::StockView;
use crate::products::positions::Positions;
use crate::rate_limits::RateLimits;

/// How long requests that are being answered may take when the ingress stops.
const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// All that an ingress process is told.
#[derive(Args, Clone, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    #[command(flatten)]
    pub postgres: PostgresSettings,
    #[command(flatten)]
    pub nats: NatsSettings,
    #[command(flatten)]
    pub holds: HoldSettings,
    #[command(flatten)]
    pub ingress: IngressSettings,
    #[command(flatten)]
    pub encryption: EncryptionSettings,
}

/// What every request shares.
pub struct App {
    settings: Settings,
    connections: Connections,
    waiters: Arc<Waiters>,
    publisher: Publisher,
    positions: Positions,
    queued_keys: QueuedKeys,
    rate_limits: Arc<RateLimits>,
    stock: StockView,
    missed: Missed,
    webhooks: WebhookPublisher,
    webhook_secrets: WebhookSecrets,
    log: Log,
    /// The address for requests of this process to its own ingress.
    loopback: SocketAddr,
    work: AllWork,
    /// Ends what would never end by itself.
    stopping: CancellationToken,
}

impl App {
    /// Postgres.
    #[must_use]
    pub fn pool(&self) -> &sqlx::PgPool {
        &self.connections.pool
    }

    /// What customers and payments are sealed by.
    fn keys(&self) -> &Keyring {
        &self.connections.keys
    }

    /// The administration's token. An empty one is none: it would let everybody in.
    fn admin_token(&self) -> Option<&Secret> {
        self.settings
            .ingress
            .admin_token
            .as_ref()
            .filter(|token| !token.expose().is_empty())
    }

    fn has_demo_store(&self) -> bool {
        self.settings.ingress.demo_store.unwrap_or(false)
    }
}

/// An ingress that listens.
pub struct Ingress {
    app: Arc<App>,
    socket: tokio::net::TcpListener,
    listening: tokio::task::JoinHandle<()>,
    watching: tokio::task::JoinHandle<()>,
    catching_up: tokio::task::JoinHandle<()>,
    asked: [tokio::task::JoinHandle<()>; 3],
}

impl Ingress {
    /// Connects to Postgres and NATS, checks both, and takes the port.
    ///
    /// # Errors
    /// When one of them can't be reached or is not what Holdfast needs, or the port is taken.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        holdfast_common::metrics::start();
        LazyLock::force(&metrics::METRICS);
        server::open_files::make_room(settings.ingress.limits.connections_max);
        server::small_pages::ask();
        let connections = Connections::open(&settings).await?;
        let waiters = Arc::new(Waiters::new(
            settings.ingress.limits.connections_max as usize,
        ));
        let publisher = Publisher::start(&settings, &connections, &waiters);
        let log = Log::new(&settings, &connections);
        let webhooks = WebhookPublisher::start(&connections);
        let positions = Positions::load(&connections.pool, settings.nats.partitions).await?;
        let queued_keys = QueuedKeys::new(&settings, &connections);
        let rate_limits = RateLimits::start(&settings.ingress.limits);
        let stock = StockView::new(&settings);
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let address = SocketAddr::new(
            settings.ingress.listen_address.unwrap_or(everywhere),
            settings.ingress.port,
        );
        let socket = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|error| {
                anyhow::anyhow!("can't listen on {address}: {error}. Free the port or set PORT")
            })?;
        let webhook_secrets =
            WebhookSecrets::from_setting(settings.ingress.webhook_secrets.as_ref());
        let app = Arc::new(App {
            settings,
            connections,
            waiters,
            publisher,
            positions,
            queued_keys,
            rate_limits,
            stock,
            missed: Missed::default(),
            webhooks,
            webhook_secrets,
            log,
            loopback: loopback::address(socket.local_addr()?),
            work: AllWork::default(),
            stopping: CancellationToken::new(),
        });
        let listening = products::listener::start(Arc::clone(&app)).await?;
        let watching = tokio::spawn(products::cache::watch(Arc::clone(&app)));
        let catching_up = tokio::spawn(commands::lost_replies::run(Arc::clone(&app)));
        let asked = [
            operators::cache_requests::start(Arc::clone(&app)).await?,
            operators::answer_counts::start(Arc::clone(&app)).await?,
            operators::worker_stats::start(Arc::clone(&app)).await?,
        ];
        Ok(Self {
            app,
            socket,
            listening,
            watching,
            catching_up,
            asked,
        })
    }

    /// What its requests share.
    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the operating system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Answers requests until it is told to stop; then those that are being answered are ended, within
    /// 2 seconds.
    ///
    /// # Errors
    /// None so far: what fails while it serves is tried again.
    pub async fn serve(self, stop: CancellationToken) -> anyhow::Result<()> {
        self.serve_with(|router| router, stop).await
    }

    /// Like [`Self::serve`], but `extend` may add routes and layers to the router before it serves.
    ///
    /// # Errors
    /// As [`Self::serve`].
    pub async fn serve_with(
        self,
        extend: impl FnOnce(Router) -> Router,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let router = extend(routes::router(Arc::clone(&self.app)));
        let gauges = Gauges::register(self.app.settings.nats.partitions);
        let looking = tokio::spawn(gauges::run(Arc::clone(&self.app), gauges, stop.clone()));
        let drained = stop.clone();
        let serving =
            server::accept::serve(self.socket, router, &self.app.settings.ingress.limits, stop);
        let out_of_time = async {
            drained.cancelled().await;
            self.app.stopping.cancel();
            tokio::time::sleep(DRAIN_WAIT).await;
        };
        tokio::select! {
            () = serving => {}
            () = out_of_time => tracing::warn!("some requests were still waiting when the ingress stopped"),
        }
        self.listening.abort();
        self.watching.abort();
        self.catching_up.abort();
        looking.abort();
        self.asked.iter().for_each(tokio::task::JoinHandle::abort);
        self.app.connections.close().await;
        Ok(())
    }
}
