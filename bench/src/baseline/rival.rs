//! A baseline as a process, with tables of its own.

use std::net::SocketAddr;
use std::time::Duration;

use sqlx::PgPool;
use tokio::time::{Instant, sleep};

use super::{Kind, TABLES};
use crate::audit::{self, Told};
use crate::place::Place;
use crate::programs::Process;
use crate::usage::Pids;

/// How long a baseline that writes later may take.
const WRITE_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);

/// A baseline that runs. Dropping it kills it.
pub(crate) struct Rival {
    /// Where it serves.
    pub(crate) address: SocketAddr,
    pool: PgPool,
    name: String,
    process: Process,
    pids: Pids,
}

impl Rival {
    /// Starts it, beside the process that counts for it if there is one.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn start(
        place: &Place,
        kind: Kind,
        pool_size: u32,
        settings: &[(&str, &str)],
        counter: Option<u32>,
    ) -> anyhow::Result<Self> {
        let (name, database_url) = place.create_database().await?;
        let pool = PgPool::connect(&database_url).await?;
        sqlx::raw_sql(TABLES).execute(&pool).await?;
        let mut all = vec![("DATABASE_URL".to_owned(), database_url)];
        all.extend(
            settings
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let log = place.directory.join(format!("{name}-baseline.log"));
        let kind =
            clap::ValueEnum::to_possible_value(&kind).map(|value| value.get_name().to_owned());
        let (kind, pool_size) = (kind.unwrap_or_default(), pool_size.to_string());
        let arguments = ["--serve", &kind, "--pool", &pool_size];
        let mut process = Process::start(&place.programs.join("bench"), &arguments, &all, log)?;
        let address = process.address().await?;
        let mut pids = place.pids();
        // It does what Holdfast's ingress and worker do.
        pids.ingress = process.pid().into_iter().collect();
        // And Redis what NATS does.
        pids.nats = counter.into_iter().collect();
        Ok(Self {
            address,
            pool,
            name,
            process,
            pids,
        })
    }

    /// Its processes, and the servers it stands on.
    pub(crate) fn pids(&self) -> &Pids {
        &self.pids
    }

    /// A product with this stock.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn product(&self, stock: u64) -> anyhow::Result<i64> {
        let insert = "INSERT INTO stock SELECT coalesce(max(product_id), 0) + 1, $1, $1, 0 FROM stock RETURNING product_id";
        Ok(sqlx::query_scalar(insert)
            .bind(stock.cast_signed())
            .fetch_one(&self.pool)
            .await?)
    }

    /// Has a measurement audited, once all that was promised is written.
    ///
    /// # Errors
    /// When the auditor finds something wrong.
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
            Told {
                product_ids: &[product_id],
                before: 0,
                accepted,
                unknown,
            },
        )
        .await
    }

    /// Stops it and removes its tables.
    ///
    /// # Errors
    /// When the operating system or Postgres refuses.
    pub(crate) async fn stop(self, place: &Place) -> anyhow::Result<()> {
        self.process.stop().await?;
        self.pool.close().await;
        place.drop_database(&self.name).await
    }
}
