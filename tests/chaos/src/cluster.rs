//! A whole deployment for one run: a Postgres and a NATS of its own, two ingresses, three workers, a shop that takes
//! refund requests. Real programs, started as an operator would, and started again when they fall.

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

use crate::auditor::positions;
use crate::member::{Member, Role};
use crate::refunds::Receiver;

/// How many ingresses there are.
pub const INGRESSES: usize = 2;
/// How many workers there are.
pub const WORKERS: usize = 3;
/// The prefix of its names in NATS.
pub const PREFIX: &str = "chaos";

/// Short times, so that much comes due in a run.
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
/// How long a worker's partition stays its own without a sign of life.
pub const LEASE: Duration = Duration::from_millis(1500);
/// How long the auditor waits for a connection.
const ACQUIRE_WAIT: Duration = Duration::from_secs(5);

/// How a cluster is set up.
#[derive(Debug, Default)]
pub struct Setup {
    /// Where its programs write their logs.
    pub directory: PathBuf,
    /// Where its servers keep their data; those of an earlier cluster are gone on with.
    pub data: PathBuf,
    /// What the shop's failures are drawn from.
    pub seed: u64,
    /// The directory of Holdfast's programs; unless it is given they are built.
    pub programs: Option<PathBuf>,
    /// The shop, when there is one already.
    pub refunds: Option<Receiver>,
}

impl Setup {
    fn program(&self, role: Role) -> PathBuf {
        match &self.programs {
            Some(programs) => programs.join(role.program()),
            None => holdfast_tests::program(role.program()),
        }
    }
}

/// What happened to the cluster that nobody asked of its programs.
#[derive(Debug, Default)]
pub struct Events {
    /// Faults, with the time since the start of the run.
    pub timeline: Vec<(Duration, String)>,
    /// When NATS lost its store: from its end to its return.
    pub wipes: Vec<(Instant, Instant)>,
    /// How often a process ended by itself before it had begun its work.
    pub false_starts: usize,
    /// What should not have happened at all.
    pub findings: Vec<String>,
}

/// The running deployment. Dropping it kills it.
#[derive(Debug)]
pub struct Cluster {
    /// Its processes: the ingresses first, then the workers.
    pub members: Vec<Member>,
    /// The shop.
    pub refunds: Receiver,
    /// Held by whoever has NATS down.
    pub nats_down: tokio::sync::Mutex<()>,
    /// Held by whoever has Postgres down.
    pub postgres_down: tokio::sync::Mutex<()>,
    /// Where its programs write their logs.
    pub directory: PathBuf,
    data: PathBuf,
    stack: tokio::sync::Mutex<Stack>,
    database_url: String,
    nats_url: String,
    /// When it was there.
    pub begun: Instant,
    events: Mutex<Events>,
}

impl Cluster {
    /// Starts it, and waits until the ingresses listen.
    ///
    /// # Errors
    /// When a part does not start.
    pub async fn start(mut setup: Setup) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&setup.directory)?;
        let sources = Sources {
            database_url: None,
            nats_url: None,
            ..Sources::from_env()
        };
        let stack = Stack::start(
            StackOptions {
                data_dir: setup.data.clone(),
                sources,
            },
            &|_| (),
        )
        .await?;
        let (database_url, nats_url) =
            (stack.database_url().to_owned(), stack.nats_url().to_owned());
        let pool = PgPool::connect(&database_url).await?;
        schema::migrate(&pool).await?;
        positions::watch(&pool).await?;
        pool.close().await;
        let refunds = match setup.refunds.take() {
            Some(refunds) => refunds,
            None => Receiver::start(setup.seed).await?,
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
            let program = setup.program(role);
            members.push(
                Member::new(
                    role,
                    number,
                    program,
                    urls,
                    settings.clone(),
                    &setup.directory,
                )
                .await?,
            );
        }
        let cluster = Self {
            members,
            refunds,
            nats_down: tokio::sync::Mutex::default(),
            postgres_down: tokio::sync::Mutex::default(),
            directory: setup.directory,
            data: setup.data,
            stack: tokio::sync::Mutex::new(stack),
            database_url,
            nats_url,
            begun: Instant::now(),
            events: Mutex::default(),
        };
        cluster.start_members().await?;
        Ok(cluster)
    }

    /// Starts every process that does not run.
    ///
    /// # Errors
    /// When one does not serve in time.
    pub async fn start_members(&self) -> anyhow::Result<()> {
        for member in &self.members {
            member.start(&mut *member.life().await).await?;
        }
        Ok(())
    }

    /// What happened so far. Not to be held across a wait.
    pub fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down what is done to it.
    pub fn note(&self, what: String) {
        self.events().timeline.push((self.begun.elapsed(), what));
    }

    /// A client of an ingress.
    #[must_use]
    pub fn client(&self, ingress: usize) -> Client {
        self.members[ingress].client()
    }

    /// The number of the worker that has most partitions, among the workers.
    pub async fn holder(&self) -> Option<usize> {
        let pool = self.pool().await.ok()?;
        let owner = "SELECT owner FROM partitions WHERE owner IS NOT NULL GROUP BY owner ORDER BY count(*) DESC LIMIT 1";
        let owner: Option<String> = sqlx::query_scalar(owner).fetch_optional(&pool).await.ok()?;
        pool.close().await;
        // Operators tell workers by host and process.
        let pid: u32 = owner?.split(':').nth(1)?.parse().ok()?;
        for (number, member) in self.members[INGRESSES..].iter().enumerate() {
            if member
                .try_life()
                .is_some_and(|mut life| life.pid() == Some(pid))
            {
                return Some(number);
            }
        }
        None
    }

    /// Connections to Postgres that no proxy is before.
    ///
    /// # Errors
    /// When Postgres does not answer.
    pub async fn pool(&self) -> sqlx::Result<PgPool> {
        let options = PgPoolOptions::new()
            .max_connections(2)
            .acquire_timeout(ACQUIRE_WAIT);
        options.connect(&self.database_url).await
    }

    /// A connection to NATS that no proxy is before.
    ///
    /// # Errors
    /// When NATS does not answer.
    pub async fn nats(&self) -> anyhow::Result<async_nats::Client> {
        Ok(async_nats::connect(&self.nats_url).await?)
    }

    /// Kills NATS; with `wipe`, its store is lost.
    ///
    /// # Errors
    /// When that is not possible.
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

    /// Kills Postgres: at once as by an operator (immediate shutdown), or by a crash of its first process.
    ///
    /// # Errors
    /// When that is not possible.
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

    /// Starts both servers, those that don't run.
    ///
    /// # Errors
    /// When one does not serve in time.
    pub async fn start_servers(&self) -> anyhow::Result<()> {
        let mut stack = self.stack.lock().await;
        stack.postgres_mut().context("no Postgres")?.start().await?;
        Ok(stack.nats_mut().context("no NATS")?.start().await?)
    }

    /// Starts NATS.
    ///
    /// # Errors
    /// When it does not serve in time.
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
    /// When it does not serve in time.
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

    /// Stops every process where it is, the servers' first; says which are the servers'.
    ///
    /// # Errors
    /// When a signal is not sent.
    pub async fn freeze(&self) -> anyhow::Result<Vec<Pid>> {
        let mut frozen = Vec::new();
        for server in self.stack.lock().await.pids() {
            let server = Pid::from_raw(server.cast_signed());
            // First the one that starts the others.
            nix::sys::signal::kill(server, Signal::SIGSTOP)?;
            frozen.push(server);
            for child in children(server)? {
                // One that has ended meanwhile is not reaped: the number is nobody else's.
                nix::sys::signal::kill(child, Signal::SIGSTOP)?;
                frozen.push(child);
            }
        }
        for member in &self.members {
            member.life().await.signal(Signal::SIGSTOP);
        }
        Ok(frozen)
    }

    /// Kills every process after [`Cluster::freeze`].
    ///
    /// # Errors
    /// When a server can't be killed.
    pub async fn kill(&self, frozen: &[Pid]) -> anyhow::Result<()> {
        for member in &self.members {
            member.life().await.end(Signal::SIGKILL).await;
        }
        // The children first, while who started them can't reap them.
        for server in frozen.iter().rev() {
            nix::sys::signal::kill(*server, Signal::SIGKILL)?;
        }
        let mut stack = self.stack.lock().await;
        stack.postgres_mut().context("no Postgres")?.kill().await?;
        Ok(stack.nats_mut().context("no NATS")?.kill().await?)
    }

    /// Ends everything but the shop.
    ///
    /// # Errors
    /// When a server can't be stopped.
    pub async fn stop(self) -> anyhow::Result<Receiver> {
        for member in &self.members {
            member.life().await.end(Signal::SIGKILL).await;
        }
        self.stack.into_inner().stop().await?;
        Ok(self.refunds)
    }
}

/// The processes that a process has started.
fn children(parent: Pid) -> anyhow::Result<Vec<Pid>> {
    let listed = std::fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    Ok(listed
        .split_whitespace()
        .filter_map(|pid| pid.parse().ok())
        .map(Pid::from_raw)
        .collect())
}
