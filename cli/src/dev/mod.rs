//! `holdfast dev`: a whole sale on this machine.
//!
//! Starts the local stack, then ingress and workers in this process, adds a product on the first start, and stops all of
//! it together. Its secrets are known to everybody; the programs for production refuse them.

mod demo;
mod progress;
mod stack_file;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use holdfast_common::settings::{
    DEV_ADMIN_TOKEN, DEV_WEBHOOK_SECRET, EncryptionSettings, HoldSettings, IngressSettings,
    LogLayout, NatsAccess, NatsSettings, PostgresSettings, Secret, WorkerSettings,
};
use holdfast_common::shutdown;
use holdfast_ingress::Ingress;
use holdfast_stack::{Stack, StackOptions};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::keys;
use crate::migrate;
use progress::Progress;
use stack_file::StackFile;

/// How long the parts in this process may take to stop, before Postgres and NATS are stopped under them.
const STOP_WAIT: Duration = Duration::from_millis(2500);

/// What `dev` is told.
#[derive(Args)]
pub(crate) struct Options {
    /// Where everything is kept
    #[arg(long, default_value = ".holdfast")]
    data_dir: PathBuf,
    /// Start over: remove what is kept first
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
        // What was started so far ends with the attempt.
        heard = shutdown::signalled() => return Ok(heard?),
    };
    let (data_dir, stop) = (options.data_dir.clone(), CancellationToken::new());
    let ended = run_on(options, &stack, &progress, &stop).await;
    StackFile::remove(&data_dir);
    stack.stop().await?;
    ended
}

async fn start_stack(options: &Options, progress: &Progress) -> anyhow::Result<Stack> {
    if options.fresh {
        holdfast_stack::remove_data(&options.data_dir).await?;
    }
    Ok(Stack::start(StackOptions::new(&options.data_dir), &|line| {
        progress.say(line)
    })
    .await?)
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
        heard = shutdown::signalled() => return Ok(heard?),
    };
    progress.ready(&format!("http://{}", services.address));
    let ended = tokio::select! {
        heard = shutdown::signalled() => heard.map_err(anyhow::Error::from),
        ended = &mut services.ingress => ended?,
        ended = &mut services.workers => ended?,
    };
    stop.cancel();
    services.stopped().await;
    ended
}

/// The parts that run in this process.
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
        let postgres = PostgresSettings {
            database_url: Secret::from(stack.database_url().to_owned()),
        };
        let nats = NatsSettings {
            nats_url: Secret::from(stack.nats_url().to_owned()),
            access,
            layout,
        };
        ingress
            .listen_address
            .get_or_insert(IpAddr::V4(Ipv4Addr::LOCALHOST));
        ingress
            .admin_token
            .get_or_insert(Secret::from(DEV_ADMIN_TOKEN.to_owned()));
        ingress
            .webhook_secrets
            .get_or_insert(Secret::from(DEV_WEBHOOK_SECRET.to_owned()));
        ingress.demo_store.get_or_insert(true);
        ingress.crowd = true;
        progress.say("bringing the database to this build's schema");
        migrate::apply(&postgres).await?;
        keys::seal_before_start(&postgres, &encryption).await?;
        progress.say("starting ingress and workers");
        // With the rights that they need and no more, where the server is ours to say so.
        let as_role = |role: &str| match stack.postgres() {
            Some(_) => {
                let url = format!("{}?options[role]={role}", stack.database_url());
                PostgresSettings {
                    database_url: Secret::from(url),
                }
            }
            None => postgres.clone(),
        };
        let (to_workers, to_ingress) = (as_role("holdfast_worker"), as_role("holdfast_ingress"));
        let settings = holdfast_workers::Settings {
            postgres: to_workers,
            nats: nats.clone(),
            holds,
            worker,
            encryption: encryption.clone(),
        };
        let mut workers = tokio::spawn(holdfast_workers::run(settings, stop.clone()));
        let partitions = nats.partitions;
        let settings = holdfast_ingress::Settings {
            postgres: to_ingress,
            nats,
            holds,
            ingress,
            encryption,
        };
        let ingress = Ingress::start(settings).await?;
        let address = ingress.address()?;
        tokio::select! {
            ended = &mut workers => ended?.and(Err(anyhow::anyhow!("the workers ended"))),
            waited = demo::wait_for_workers(ingress.app().pool(), partitions) => waited,
        }?;
        demo::add_product_at_first_start(ingress.app()).await?;
        let ingress = tokio::spawn(ingress.serve(stop));
        Ok(Self {
            address,
            ingress,
            workers,
        })
    }

    /// Waits until both have ended, or have had their time.
    async fn stopped(self) {
        let both = async { tokio::join!(ended(self.ingress), ended(self.workers)) };
        if tokio::time::timeout(STOP_WAIT, both).await.is_err() {
            tracing::warn!("ingress or workers did not stop in time");
        }
    }
}

async fn ended(service: JoinHandle<anyhow::Result<()>>) {
    // The one whose end brought us here is reported already.
    if !service.is_finished()
        && let Ok(Err(error)) = service.await
    {
        tracing::warn!(%error, "a part did not stop well");
    }
}
