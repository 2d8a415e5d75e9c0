//! A sale to measure: one ingress and some workers, with their own database and log.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use holdfast_common::store::schema;
use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use crate::audit::{self, HoldCounts};
use crate::environment::Environment;
use crate::generator::{Load, drive};
use crate::programs::Process;
use crate::scripts::{ADMIN_TOKEN, NewProducts, WEBHOOK_SECRET};
use crate::usage::Pids;

/// The default of `PARTITIONS`.
const PARTITIONS: i64 = 16;
/// How long the workers may take to own all partitions.
const WORKERS_WAIT: Duration = Duration::from_secs(30);
/// Connections on which products are created.
const PRODUCT_CONNECTIONS: usize = 32;

/// Dropping a sale kills its processes.
pub(crate) struct Sale {
    pub(crate) pool: PgPool,
    /// The address of the ingress.
    pub(crate) address: SocketAddr,
    name: String,
    settings: Vec<(String, String)>,
    programs: PathBuf,
    logs: PathBuf,
    ingress: Option<Process>,
    workers: Vec<Process>,
    pids: Pids,
}

impl Sale {
    /// Creates the tables; starts no program.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn prepare(
        environment: &Environment,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let (name, database_url) = environment.create_database().await?;
        let pool = PgPool::connect(&database_url).await?;
        schema::migrate(&pool).await?;
        let all = [
            ("DATABASE_URL", database_url.as_str()),
            ("NATS_URL", environment.nats_url()),
            ("NATS_PREFIX", &name),
            ("PORT", "0"),
            ("LISTEN_ADDRESS", "127.0.0.1"),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("WEBHOOK_SECRETS", WEBHOOK_SECRET),
            // All buyers have the same address.
            ("RATE_LIMIT_PER_IP", "0"),
            ("RATE_LIMIT_PER_KEY", "0"),
            // Holds must not expire during a measurement, unless the scenario sets another lifetime.
            ("HOLD_EXPIRY_SECONDS", "3600"),
        ];
        let settings = all
            .iter()
            .chain(settings)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let settings = settings.collect();
        Ok(Self {
            pool,
            name,
            settings,
            programs: environment.programs.clone(),
            logs: environment.directory.clone(),
            address: ([127, 0, 0, 1], 0).into(),
            ingress: None,
            workers: Vec::new(),
            pids: environment.pids(),
        })
    }

    /// Starts a sale with one ingress and this number of workers.
    ///
    /// # Errors
    /// When a program does not start.
    pub(crate) async fn start(
        environment: &Environment,
        workers: usize,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut sale = Self::prepare(environment, settings).await?;
        sale.start_programs(workers).await?;
        Ok(sale)
    }

    /// Starts the ingress and the workers of a prepared sale.
    ///
    /// # Errors
    /// When a program does not start.
    pub(crate) async fn start_programs(&mut self, workers: usize) -> anyhow::Result<()> {
        let log = self.logs.join(format!("{}-ingress.log", self.name));
        let mut ingress = Process::start(
            &self.programs.join("holdfast-ingress"),
            &[],
            &self.settings,
            log,
        )?;
        self.address = ingress.address().await?;
        self.pids.ingress = ingress.pid().into_iter().collect();
        self.ingress = Some(ingress);
        for number in 0..workers {
            let log = self.logs.join(format!("{}-worker-{number}.log", self.name));
            let worker = Process::start(
                &self.programs.join("holdfast-workers"),
                &[],
                &self.settings,
                log,
            )?;
            self.pids.workers.extend(worker.pid());
            self.workers.push(worker);
        }
        self.wait_for_workers(workers).await
    }

    /// Waits until every partition has an owner, and every worker its share.
    async fn wait_for_workers(&self, workers: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + WORKERS_WAIT;
        let fewest = PARTITIONS / workers as i64;
        let settled = "SELECT coalesce(sum(have), 0)::bigint = $1 AND count(*) = $2 AND min(have) >= $3 FROM
            (SELECT count(*) AS have FROM partitions WHERE owner IS NOT NULL AND lease_until > now() GROUP BY owner) shares";
        loop {
            let is_settled: Option<bool> = sqlx::query_scalar(settled)
                .bind(PARTITIONS)
                .bind(workers as i64)
                .bind(fewest)
                .fetch_one(&self.pool)
                .await?;
            if is_settled == Some(true) {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "the workers did not share the partitions; see {}",
                self.logs.display()
            );
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Creates products with this stock each; returns their ids.
    ///
    /// # Errors
    /// When the ingress refuses one.
    pub(crate) async fn create_products(&self, count: u64, stock: u64) -> anyhow::Result<Vec<i64>> {
        let connections = PRODUCT_CONNECTIONS.min(count as usize);
        let (_, made) = drive(
            Load::rounds(self.address, connections, count),
            NewProducts::new(stock),
        )
        .await?;
        ensure!(
            made.ids.len() as u64 == count,
            "{} of {count} products were created",
            made.ids.len()
        );
        Ok(made.ids)
    }

    /// Counts the holds of these products.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn count_holds(&self, product_ids: &[i64]) -> anyhow::Result<u64> {
        let count = "SELECT count(*) FROM holds WHERE product_id = ANY($1)";
        let count: i64 = sqlx::query_scalar(count)
            .bind(product_ids)
            .fetch_one(&self.pool)
            .await?;
        Ok(count.cast_unsigned())
    }

    /// Audits a measurement; the counts are those of [`HoldCounts`].
    ///
    /// # Errors
    /// When the auditor finds something wrong.
    pub(crate) async fn audit(
        &self,
        ids: &[i64],
        before: u64,
        accepted: u64,
        unknown: u64,
    ) -> anyhow::Result<()> {
        audit::sale(
            &self.pool,
            HoldCounts {
                product_ids: ids,
                before,
                accepted,
                unknown,
            },
        )
        .await
    }

    /// The processes of the sale and of the servers.
    pub(crate) fn pids(&self) -> &Pids {
        &self.pids
    }

    /// Stops the programs and drops the database.
    ///
    /// # Errors
    /// When the operating system or Postgres refuses.
    pub(crate) async fn stop(self, environment: &Environment) -> anyhow::Result<()> {
        if let Some(ingress) = self.ingress {
            ingress.stop().await?;
        }
        for worker in self.workers {
            worker.stop().await?;
        }
        self.pool.close().await;
        environment.drop_database(&self.name).await
    }
}
