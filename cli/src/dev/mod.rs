//! `holdfast dev`: a whole sale on this machine.
//!
//! It starts Postgres and NATS, runs ingress and workers in this process, adds a product on the first start, and stops
//! everything together. Its secrets are public; the production programs refuse to start with them.

mod crowd;
mod first_product;
mod progress;
mod stack_file;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use anyhow::anyhow;
use clap::Args;
use holdfast_common::settings::{
    DEV_ADMIN_TOKEN, DEV_WEBHOOK_SECRET, EncryptionSettings, HoldSettings, IngressSettings,
    LogLayout, NatsAccess, NatsSettings, PostgresSettings, Secret, WorkerSettings,
};
use holdfast_common::shutdown;
use holdfast_ingress::Ingress;
use holdfast_ingress::demo::loopback;
use holdfast_stack::{Stack, StackOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::keys;
use crate::migrate;
use crate::store;
use crowd::Crowd;
use progress::Progress;
use stack_file::StackFile;

/// Ingress and workers have this long to stop before Postgres and NATS are stopped.
const STOP_WAIT: Duration = Duration::from_millis(2500);

#[derive(Args)]
pub(crate) struct Options {
    /// Directory for all data
    #[arg(long, default_value = ".holdfast")]
    data_dir: PathBuf,
    /// Remove the data of earlier runs first
    #[arg(long)]
    fresh: bool,
    #[command(flatten)]
    access: NatsAccess,
    #[command(flatten)]
    layout: LogLayout,
    #[command(flatten)]
    holds: HoldSettings,
    #[command(flatten)]
    ingress: IngressSettings,
    #[command(flatten)]
    worker: WorkerSettings,
    #[command(flatten)]
    encryption: EncryptionSettings,
}

/// Runs until SIGINT or SIGTERM.
pub(crate) async fn run(options: Options) -> anyhow::Result<()> {
    let progress = Progress::start();
    let stack = tokio::select! {
        stack = start_stack(&options, &progress) => stack?,
        // Dropping the future ends the servers that it has started.
        signalled = shutdown::signalled() => return Ok(signalled?),
    };
    let (data_dir, stop) = (options.data_dir.clone(), CancellationToken::new());
    let result = run_on(options, &stack, &progress, &stop).await;
    StackFile::remove(&data_dir);
    stack.stop().await?;
    result
}

async fn start_stack(options: &Options, progress: &Progress) -> anyhow::Result<Stack> {
    if options.fresh {
        holdfast_stack::remove_data(&options.data_dir).await?;
    }
    let stack_options = StackOptions::new(&options.data_dir);
    Ok(Stack::start(stack_options, &|line| progress.show(line)).await?)
}

async fn run_on(
    options: Options,
    stack: &Stack,
    progress: &Progress,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let data_dir = options.data_dir.clone();
    let starting = async {
        let services = Services::start(options, stack, progress, stop.clone()).await?;
        StackFile::write(&data_dir, stack, services.address)?;
        anyhow::Ok(services)
    };
    let mut services = tokio::select! {
        services = starting => services?,
        signalled = shutdown::signalled() => return Ok(signalled?),
    };
    progress.ready(&format!("http://{}", services.address));
    let result = tokio::select! {
        signalled = shutdown::signalled() => signalled.map_err(anyhow::Error::from),
        ended = &mut services.ingress => ended?,
        ended = &mut services.workers => ended?,
    };
    stop.cancel();
    services.stopped().await;
    result
}

/// Ingress and workers, which run in this process.
struct Services {
    address: SocketAddr,
    ingress: JoinHandle<anyhow::Result<()>>,
    workers: JoinHandle<anyhow::Result<()>>,
}

impl Services {
    async fn start(
        options: Options,
        stack: &Stack,
        progress: &Progress,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let Options {
            access,
            layout,
            holds,
            mut ingress,
            worker,
            encryption,
            ..
        } = options;
        let postgres = postgres_settings(stack, None);
        let nats = NatsSettings {
            nats_url: Secret::from(stack.nats_url().to_owned()),
            access,
            layout,
        };
        set_defaults(&mut ingress);
        progress.show("migrating the database");
        migrate::apply(&postgres).await?;
        keys::encrypt_before_start(&postgres, &encryption).await?;

        progress.show("starting ingress and workers");
        let worker_settings = holdfast_workers::Settings {
            postgres: postgres_settings(stack, Some("holdfast_worker")),
            nats: nats.clone(),
            holds,
            worker,
            encryption: encryption.clone(),
        };
        let mut workers = tokio::spawn(holdfast_workers::run(worker_settings, stop.clone()));
        let crowd = ingress.demo_store == Some(true);
        let crowd = ingress.admin_token.clone().filter(|_| crowd);
        let ingress_settings = holdfast_ingress::Settings {
            postgres: postgres_settings(stack, Some("holdfast_ingress")),
            nats: nats.clone(),
            holds,
            ingress,
            encryption: encryption.clone(),
        };
        let ingress = Ingress::start(ingress_settings).await?;
        let address = ingress.address()?;

        let (pool, keys) = store::open_encrypted(&postgres, &encryption, "holdfast-dev").await?;
        tokio::select! {
            ended = &mut workers => ended?.and(Err(anyhow!("the workers stopped during the start"))),
            waited = first_product::wait_for_workers(&pool, nats.partitions.count()) => waited,
        }?;
        first_product::add(&pool, &nats, &keys).await?;
        pool.close().await;

        let crowd = crowd.map(|token| Crowd::new(loopback::address(address), token, stop.clone()));
        let extend = |router| match crowd {
            Some(crowd) => crowd.add_to(router),
            None => router,
        };
        Ok(Self {
            address,
            ingress: tokio::spawn(ingress.serve_with(extend, stop)),
            workers,
        })
    }

    /// Waits until both have stopped, or the time for it is up.
    async fn stopped(self) {
        let both = async { tokio::join!(stopped(self.ingress), stopped(self.workers)) };
        if tokio::time::timeout(STOP_WAIT, both).await.is_err() {
            tracing::warn!("ingress or workers did not stop in time; stopping Postgres and NATS");
        }
    }
}

async fn stopped(service: JoinHandle<anyhow::Result<()>>) {
    // `run_on` has consumed the result of a finished service, and returns its error.
    if !service.is_finished()
        && let Ok(Err(error)) = service.await
    {
        tracing::warn!(%error, "ingress or workers failed while stopping");
    }
}

/// The stack's database, with the rights of one role when the stack runs its own Postgres.
fn postgres_settings(stack: &Stack, role: Option<&str>) -> PostgresSettings {
    let url = stack.database_url();
    let role = role.filter(|_| stack.postgres().is_some());
    let url = role.map_or(url.to_owned(), |role| format!("{url}?options[role]={role}"));
    PostgresSettings {
        database_url: Secret::from(url),
    }
}

fn set_defaults(ingress: &mut IngressSettings) {
    let localhost = IpAddr::V4(Ipv4Addr::LOCALHOST);
    ingress.listen_address.get_or_insert(localhost);
    let secret = |secret: &str| Secret::from(secret.to_owned());
    ingress
        .admin_token
        .get_or_insert_with(|| secret(DEV_ADMIN_TOKEN));
    ingress
        .webhook_secrets
        .get_or_insert_with(|| secret(DEV_WEBHOOK_SECRET));
    ingress.demo_store.get_or_insert(true);
}
