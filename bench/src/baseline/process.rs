//! A baseline's process and its database.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::{BaselineKind, TABLES};
use crate::audit::{self, HoldCounts};
use crate::environment::Environment;
use crate::programs::Process;
use crate::usage::Pids;

/// How long the writer of a baseline may take to write all accepted holds.
const WRITE_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A running baseline. Dropping it kills the process.
pub(crate) struct BaselineProcess {
    pub(crate) address: SocketAddr,
    pool: PgPool,
    name: String,
    process: Process,
    pids: Pids,
}

impl BaselineProcess {
    /// Starts a baseline. `counter` is the process id of Redis, if the baseline uses it.
    ///
    /// # Errors
    /// When the process does not start.
    pub(crate) async fn start(
        environment: &Environment,
        kind: BaselineKind,
        pool_size: u32,
        settings: &[(&str, &str)],
        counter: Option<u32>,
    ) -> anyhow::Result<Self> {
        let (name, database_url) = environment.create_database().await?;
        let pool = PgPool::connect(&database_url).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let mut all = vec![("DATABASE_URL".to_owned(), database_url)];
        all.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = environment.directory.join(format!("{name}-baseline.log"));
        let kind =
            clap::ValueEnum::to_possible_value(&kind).map(|value| value.get_name().to_owned());
        let (kind, pool_size) = (kind.unwrap_or_default(), pool_size.to_string());
        let arguments = ["--serve", &kind, "--pool", &pool_size];
        let mut process =
            Process::start(&environment.programs.join("bench"), &arguments, &all, log)?;
        let address = process.address().await?;
        let mut pids = environment.pids();
        // In the report, the baseline has the place of the ingress, and Redis the place of NATS.
        pids.ingress = process.pid().into_iter().collect();
        pids.nats = counter.into_iter().collect();
        Ok(Self {
            address,
            pool,
            name,
            process,
            pids,
        })
    }

    /// The process ids of the baseline and of its servers.
    pub(crate) fn pids(&self) -> &Pids {
        &self.pids
    }

    /// Creates a product with this stock; returns its id.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn create_product(&self, stock: u64) -> anyhow::Result<i64> {
        let insert = "INSERT INTO stock SELECT coalesce(max(product_id), 0) + 1, $1, $1, 0 FROM stock RETURNING product_id";
        Ok(sqlx::query_scalar(insert)
            .bind(stock.cast_signed())
            .fetch_one(&self.pool)
            .await?)
    }

    /// Waits until all accepted holds are in Postgres, then audits the measurement.
    ///
    /// # Errors
    /// When the audit fails.
    pub(crate) async fn audit(
        &self,
        product_id: i64,
        accepted: u64,
        unknown: u64,
    ) -> anyhow::Result<()> {
        let written = "SELECT count(*) FROM holds WHERE product_id = $1";
        let deadline = Instant::now() + WRITE_WAIT;
        loop {
            let written: i64 = sqlx::query_scalar(written)
                .bind(product_id)
                .fetch_one(&self.pool)
                .await?;
            if written.cast_unsigned() >= accepted || Instant::now() > deadline {
                break;
            }
            sleep(POLL).await;
        }
        audit::baseline(
            &self.pool,
            HoldCounts {
                product_ids: &[product_id],
                before: 0,
                accepted,
                unknown,
            },
        )
        .await
    }

    /// Stops the process and drops its database.
    ///
    /// # Errors
    /// When the operating system or Postgres refuses.
    pub(crate) async fn stop(self, environment: &Environment) -> anyhow::Result<()> {
        self.process.stop().await?;
        self.pool.close().await;
        environment.drop_database(&self.name).await
    }
}
