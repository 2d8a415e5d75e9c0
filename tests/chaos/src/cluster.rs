//! The deployment of a run: its own Postgres and NATS, two ingresses, three workers, and a receiver of refund requests.
//!
//! They are real programs, started as an operator starts them. The supervisor restarts those that crash.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use holdfast_common::store::schema;
use holdfast_stack::{Sources, Stack, StackOptions};
use holdfast_tests::{ADMIN_TOKEN, Client, WEBHOOK_SECRET};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use crate::auditor::partitions;
use crate::member::{Member, Role};
use crate::refunds::RefundReceiver;

pub const INGRESSES: usize = 2;
pub const WORKERS: usize = 3;
/// The value of `NATS_PREFIX`.
pub const PREFIX: &str = "chaos";

/// The times are short, so that many holds and orders expire in a run.
const SETTINGS: [(&str, &str); 12] = [
    ("NATS_PREFIX", PREFIX),
    ("PARTITIONS", "4"),
    ("LOG_MAX_MB", "256"),
    ("PORT", "0"),
    ("LISTEN_ADDRESS", "127.0.0.1"),
    ("ADMIN_TOKEN", ADMIN_TOKEN),
    ("WEBHOOK_SECRETS", WEBHOOK_SECRET),
    ("HOLD_EXPIRY_SECONDS", "3"),
    ("ORDER_PAYMENT_SECONDS", "4"),
    ("REQUEST_WAIT_MS", "1500"),
    ("RATE_LIMIT_PER_IP", "0"),
    ("RATE_LIMIT_PER_KEY", "0"),
];
/// The value of `PARTITION_LEASE_MS`.
pub const LEASE: Duration = Duration::from_millis(1500);
/// How long to wait for a connection to Postgres.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Default)]
pub struct ClusterOptions {
    /// The directory of the programs' logs.
    pub directory: PathBuf,
    /// The directory of the servers' data. Data of an earlier cluster is used again.
    pub data: PathBuf,
    /// The seed of the refund receiver's failures.
    pub seed: u64,
    /// The directory of Holdfast's programs. Without it, they are built.
    pub programs: Option<PathBuf>,
    /// The receiver of an earlier cluster.
    pub refunds: Option<RefundReceiver>,
}

impl ClusterOptions {
    fn program(&self, role: Role) -> PathBuf {
        match &self.programs {
            Some(programs) => programs.join(role.program()),
            None => holdfast_tests::program(role.program()),
        }
    }
}

/// The faults and crashes of a run.
#[derive(Debug, Default)]
pub struct ClusterEvents {
    /// All events, with the time since the start of the cluster.
    pub timeline: Vec<(Duration, String)>,
    /// The times in which NATS lost its store: from its stop to its start.
    pub wipes: Vec<(Instant, Instant)>,
    /// Processes that ended before they started to work.
    pub false_starts: usize,
    pub findings: Vec<String>,
}

/// The running deployment. Dropping it kills the processes.
#[derive(Debug)]
pub struct Cluster {
    /// The processes of Holdfast: the ingresses first, then the workers.
    pub members: Vec<Member>,
    pub refunds: RefundReceiver,
    /// Locked by the fault that has stopped NATS.
    pub nats_down: tokio::sync::Mutex<()>,
    /// Locked by the fault that has stopped Postgres.
    pub postgres_down: tokio::sync::Mutex<()>,
    /// The directory of the programs' logs.
    pub directory: PathBuf,
    data: PathBuf,
    stack: tokio::sync::Mutex<Stack>,
    database_url: String,
    nats_url: String,
    pub begun: Instant,
    events: Mutex<ClusterEvents>,
}

impl Cluster {
    /// Starts the deployment, and waits until the ingresses listen.
    ///
    /// # Errors
    /// When a program does not start.
    pub async fn start(mut options: ClusterOptions) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&options.directory)?;
        let sources = Sources {
            database_url: None,
            nats_url: None,
            ..Sources::from_env()
        };
        let stack = Stack::start(
            StackOptions {
                data_dir: options.data.clone(),
                sources,
            },
            &|_| (),
        )
        .await?;
        let (database_url, nats_url) =
            (stack.database_url().to_owned(), stack.nats_url().to_owned());
        let pool = PgPool::connect(&database_url).await?;
        schema::migrate(&pool).await?;
        partitions::record_position_falls(&pool).await?;
        pool.close().await;
        let refunds = match options.refunds.take() {
            Some(refunds) => refunds,
            None => RefundReceiver::start(options.seed).await?,
        };
        let mut settings: Vec<_> = SETTINGS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        settings.push((
            "PARTITION_LEASE_MS".to_owned(),
            LEASE.as_millis().to_string(),
        ));
        settings.push(("REFUND_URL".to_owned(), refunds.url.clone()));
        let mut members = Vec::new();
        for number in 0..INGRESSES + WORKERS {
            let (role, number) = if number < INGRESSES {
                (Role::Ingress, number)
            } else {
                (Role::Worker, number - INGRESSES)
            };
            let urls = (database_url.as_str(), nats_url.as_str());
            let program = options.program(role);
            members.push(
                Member::new(
                    role,
                    number,
                    program,
                    urls,
                    settings.clone(),
                    &options.directory,
                )
                .await?,
            );
        }
        let cluster = Self {
            members,
            refunds,
            nats_down: tokio::sync::Mutex::default(),
            postgres_down: tokio::sync::Mutex::default(),
            directory: options.directory,
            data: options.data,
            stack: tokio::sync::Mutex::new(stack),
            database_url,
            nats_url,
            begun: Instant::now(),
            events: Mutex::default(),
        };
        cluster.start_members().await?;
        Ok(cluster)
    }

    /// Starts the processes of Holdfast that do not run.
    ///
    /// # Errors
    /// When a process does not serve in time.
    pub async fn start_members(&self) -> anyhow::Result<()> {
        for member in &self.members {
            member.start(&mut *member.lock().await).await?;
        }
        Ok(())
    }

    /// The events so far. Do not hold the guard across an await.
    pub fn events(&self) -> MutexGuard<'_, ClusterEvents> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an event to the timeline.
    pub fn record_event(&self, event: String) {
        self.events().timeline.push((self.begun.elapsed(), event));
    }

    /// A client of an ingress.
    #[must_use]
    pub fn client(&self, ingress: usize) -> Client {
        self.members[ingress].client()
    }

    /// The index of the worker that owns the most partitions.
    pub async fn busiest_worker(&self) -> Option<usize> {
        let pool = self.pool().await.ok()?;
        let owner = "SELECT owner FROM partitions WHERE owner IS NOT NULL GROUP BY owner ORDER BY count(*) DESC LIMIT 1";
        let owner: Option<String> = sqlx::query_scalar(owner).fetch_optional(&pool).await.ok()?;
        pool.close().await;
        // An owner is `host:process id:...`.
        let pid: u32 = owner?.split(':').nth(1)?.parse().ok()?;
        for (number, member) in self.members[INGRESSES..].iter().enumerate() {
            if member
                .try_lock()
                .is_some_and(|mut process| process.pid() == Some(pid))
            {
                return Some(number);
            }
        }
        None
    }

    /// Connects to Postgres without a proxy.
    ///
    /// # Errors
    /// When Postgres does not respond.
    pub async fn pool(&self) -> sqlx::Result<PgPool> {
        let options = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(ACQUIRE_WAIT);
        options.connect(&self.database_url).await
    }

    /// Connects to NATS without a proxy.
    ///
    /// # Errors
    /// When NATS does not respond.
    pub async fn nats(&self) -> anyhow::Result<async_nats::Client> {
        Ok(async_nats::connect(&self.nats_url).await?)
    }

    /// Kills NATS; with `wipe`, removes its store.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn stop_nats(&self, wipe: bool) -> anyhow::Result<()> {
        self.stack
            .lock()
            .await
            .nats_mut()
            .context("no NATS")?
            .kill()
            .await?;
        if wipe {
            std::fs::remove_dir_all(self.data.join("nats/jetstream")).context("wiping NATS")?;
        }
        Ok(())
    }

    /// Stops Postgres by an immediate shutdown, or by a kill of its main process.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub async fn stop_postgres(&self, by_crash: bool) -> anyhow::Result<()> {
        let mut stack = self.stack.lock().await;
        let postgres = stack.postgres_mut().context("no Postgres")?;
        if by_crash {
            return Ok(postgres.kill().await?);
        }
        if let Some(pid) = postgres.pid() {
            nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), Signal::SIGQUIT)?;
        }
        Ok(postgres.stop().await?)
    }

    /// Starts the servers that do not run.
    ///
    /// # Errors
    /// When a server does not serve in time.
    pub async fn start_servers(&self) -> anyhow::Result<()> {
        let mut stack = self.stack.lock().await;
        stack.postgres_mut().context("no Postgres")?.start().await?;
        Ok(stack.nats_mut().context("no NATS")?.start().await?)
    }

    /// Starts NATS.
    ///
    /// # Errors
    /// When the server does not serve in time.
    pub async fn start_nats(&self) -> anyhow::Result<()> {
        Ok(self
            .stack
            .lock()
            .await
            .nats_mut()
            .context("no NATS")?
            .start()
            .await?)
    }

    /// Starts Postgres.
    ///
    /// # Errors
    /// When the server does not serve in time.
    pub async fn start_postgres(&self) -> anyhow::Result<()> {
        Ok(self
            .stack
            .lock()
            .await
            .postgres_mut()
            .context("no Postgres")?
            .start()
            .await?)
    }

    /// Freezes every process with SIGSTOP, the servers first; returns the process ids of the servers.
    ///
    /// # Errors
    /// When a signal can't be sent.
    pub async fn freeze(&self) -> anyhow::Result<Vec<Pid>> {
        let mut frozen = Vec::new();
        for server in self.stack.lock().await.pids() {
            let server = Pid::from_raw(server.cast_signed());
            // The main process first, because it starts the others.
            nix::sys::signal::kill(server, Signal::SIGSTOP)?;
            frozen.push(server);
            for child in children(server)? {
                // The frozen parent does not reap a child that has ended, so its process id is not used again.
                nix::sys::signal::kill(child, Signal::SIGSTOP)?;
                frozen.push(child);
            }
        }
        for member in &self.members {
            member.lock().await.signal(Signal::SIGSTOP);
        }
        Ok(frozen)
    }

    /// Kills every process after [`Cluster::freeze`].
    ///
    /// # Errors
    /// When a server can't be killed.
    pub async fn kill(&self, frozen: &[Pid]) -> anyhow::Result<()> {
        for member in &self.members {
            member.lock().await.end(Signal::SIGKILL).await;
        }
        // The children first, while their frozen parent can't reap them.
        for server in frozen.iter().rev() {
            nix::sys::signal::kill(*server, Signal::SIGKILL)?;
        }
        let mut stack = self.stack.lock().await;
        stack.postgres_mut().context("no Postgres")?.kill().await?;
        Ok(stack.nats_mut().context("no NATS")?.kill().await?)
    }

    /// Stops everything except the refund receiver, which it returns.
    ///
    /// # Errors
    /// When a server can't be stopped.
    pub async fn stop(self) -> anyhow::Result<RefundReceiver> {
        for member in &self.members {
            member.lock().await.end(Signal::SIGKILL).await;
        }
        self.stack.into_inner().stop().await?;
        Ok(self.refunds)
    }
}

/// The child processes of a process.
fn children(parent: Pid) -> anyhow::Result<Vec<Pid>> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    Ok(listed
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect())
}
