//! A sale to measure: a database and a log of its own, an ingress and some workers.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use holdfast_common::store::schema;
use sqlx::{AssertSqlSafe, PgPool};
use tokio::time::{Instant, sleep};

use crate::audit::{self, Told};
use crate::generator::{Load, drive};
use crate::place::Place;
use crate::programs::Process;
use crate::scripts::NewProducts;
use crate::usage::Pids;

/// Not that of `holdfast dev`, which the ingress refuses.
pub(crate) const ADMIN_TOKEN: &str = "bench-admin-token";
/// The secret of payment webhooks.
pub(crate) const WEBHOOK_SECRET: &str = "bench-webhook-secret";
/// As many as an operator has by default.
const PARTITIONS: i64 = 16;
/// How long workers may take until each partition has one.
const WORKERS_WAIT: Duration = Duration::from_secs(30);
/// Connections that products are made on.
const PRODUCT_CONNECTIONS: usize = 32;

/// A sale. Dropping it kills its processes.
pub(crate) struct Sale {
    /// Its tables, to look at.
    pub(crate) pool: PgPool,
    /// Where its ingress is.
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
    /// Makes the tables, with nobody to serve them yet.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn prepare(place: &Place, settings: &[(&str, &str)]) -> anyhow::Result<Self> {
        let (name, database_url) = place.create_database().await?;
        let pool = PgPool::connect(&database_url).await?;
        schema::migrate(&pool).await?;
        let all = [
            ("DATABASE_URL", database_url.as_str()),
            ("NATS_URL", place.nats_url()),
            ("NATS_PREFIX", &name),
            ("PORT", "0"),
            ("LISTEN_ADDRESS", "127.0.0.1"),
            ("ADMIN_TOKEN", ADMIN_TOKEN),
            ("WEBHOOK_SECRETS", WEBHOOK_SECRET),
            // All buyers have one address here.
            ("RATE_LIMIT_PER_IP", "0"),
            ("RATE_LIMIT_PER_KEY", "0"),
            // Holds must not end while they are measured; scenarios that want them to say so.
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
            programs: place.programs.clone(),
            logs: place.directory.clone(),
            address: ([127, 0, 0, 1], 0).into(),
            ingress: None,
            workers: Vec::new(),
            pids: place.pids(),
        })
    }

    /// A sale with one ingress and so many workers.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(
        place: &Place,
        workers: usize,
        settings: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut sale = Self::prepare(place, settings).await?;
        sale.start_programs(workers).await?;
        Ok(sale)
    }

    /// Starts what serves the tables.
    ///
    /// # Errors
    /// When it does not start.
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

    /// Waits until every partition has a worker, and every worker its share.
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

    /// Puts products on sale, each with this stock.
    ///
    /// # Errors
    /// When one is refused.
    pub(crate) async fn products(&self, count: u64, stock: u64) -> anyhow::Result<Vec<i64>> {
        let connections = PRODUCT_CONNECTIONS.min(count as usize);
        let (_, made) = drive(
            Load::rounds(self.address, connections, count),
            NewProducts::new(stock),
        )
        .await?;
        ensure!(
            made.ids.len() as u64 == count,
            "{} of {count} products were made",
            made.ids.len()
        );
        Ok(made.ids)
    }

    /// How many holds of these products there are.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn holds(&self, product_ids: &[i64]) -> anyhow::Result<u64> {
        let count = "SELECT count(*) FROM holds WHERE product_id = ANY($1)";
        let count: i64 = sqlx::query_scalar(count)
            .bind(product_ids)
            .fetch_one(&self.pool)
            .await?;
        Ok(count.cast_unsigned())
    }

    /// Has a measurement audited; see [`Told`].
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
            Told {
                product_ids: ids,
                before,
                accepted,
                unknown,
            },
        )
        .await
    }

    /// Its processes, and the servers it stands on.
    pub(crate) fn pids(&self) -> &Pids {
        &self.pids
    }

    /// Stops it and removes its tables.
    ///
    /// # Errors
    /// When the operating system or Postgres refuses.
    pub(crate) async fn stop(self, place: &Place) -> anyhow::Result<()> {
        if let Some(ingress) = self.ingress {
            ingress.stop().await?;
        }
        for worker in self.workers {
            worker.stop().await?;
        }
        self.pool.close().await;
        place.drop_database(&self.name).await
    }
}

/// Names of tables can't be parameters of statements; ours come from [`Place::create_database`].
pub(crate) fn sql(statement: String) -> AssertSqlSafe<String> {
    AssertSqlSafe(statement)
}
