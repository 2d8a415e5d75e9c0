//! The ingress: validates HTTP requests, publishes them as commands, and responds with their outcomes.
//!
//! The path of a request: [`server`] accepts the connection, [`http`] reads the request, a handler in [`routes`] makes the
//! command, and [`commands`] publishes it and waits for the outcome, which [`http::render`] turns into a response. Reads
//! go to [`store`] and to [`products`], the cache that the workers' news keeps current. The ingress must not change
//! business state: only workers do.

pub mod app;
pub mod commands;
pub mod connections;
pub mod demo;
pub mod host_clock;
pub mod http;
pub mod metrics;
pub mod operators;
pub mod pages;
pub mod products;
pub mod rate_limits;
pub mod routes;
pub mod server;
pub mod settings;
pub mod store;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use crate::settings::Settings;

use crate::app::App;
use crate::connections::Connections;
use crate::metrics::gauges::{self, Gauges};

/// How long running requests may continue after `stop` is cancelled.
const DRAIN_WAIT: Duration = Duration::from_secs(2);

/// An ingress that has opened its port and its connections.
pub struct Ingress {
    app: Arc<App>,
    socket: TcpListener,
    tasks: Vec<JoinHandle<()>>,
}

impl Ingress {
    /// Connects to Postgres and NATS, checks both, and takes the port.
    ///
    /// # Errors
    /// When Postgres or NATS can't be reached, when a check of its schema, keys or streams fails, or when the port is taken.
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        holdfast_common::metrics::start();
        LazyLock::force(&metrics::METRICS);
        server::open_files::make_room(settings.ingress.limits.connections_max);
        server::small_pages::ask();
        let connections = Connections::open(&settings).await?;
        let socket = bind(&settings).await?;
        let (app, tasks) = App::start(settings, connections, socket.local_addr()?).await?;
        Ok(Self {
            app: Arc::new(app),
            socket,
            tasks,
        })
    }

    /// The address on which it listens.
    ///
    /// # Errors
    /// When the operating system does not report it.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Serves requests until `stop` is cancelled. Running requests then have 2 seconds to end.
    ///
    /// # Errors
    /// None at present: failures while the ingress serves are retried.
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
        let Self { app, socket, tasks } = self;
        let router = extend(routes::router(Arc::clone(&app)));
        let gauges = Gauges::register(app.settings.nats.partitions);
        let gauges = tokio::spawn(gauges::run(app.gauge_sources(), gauges, stop.clone()));
        let stopped = stop.clone();
        let serving = server::accept::serve(socket, router, &app.settings.ingress.limits, stop);
        let out_of_time = async {
            stopped.cancelled().await;
            app.stopping.cancel();
            tokio::time::sleep(DRAIN_WAIT).await;
        };
        tokio::select! {
            () = serving => {}
            () = out_of_time => tracing::warn!(
                waited = ?DRAIN_WAIT, requests = app.waiters.count(),
                "the ingress stops although requests are waiting; their clients get no response"
            ),
        }
        gauges.abort();
        tasks.iter().for_each(JoinHandle::abort);
        app.connections.close().await;
        Ok(())
    }
}

async fn bind(settings: &Settings) -> anyhow::Result<TcpListener> {
    let all_interfaces = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    let ip = settings.ingress.listen_address.unwrap_or(all_interfaces);
    let address = SocketAddr::new(ip, settings.ingress.port);
    TcpListener::bind(address).await.map_err(|error| {
        anyhow::anyhow!("can't listen on {address}: {error}. Free the port or set PORT")
    })
}
