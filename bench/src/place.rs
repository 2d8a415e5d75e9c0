//! Where sales are measured: one Postgres and one NATS for the whole run, by the code that `holdfast dev` uses.
//!
//! Their data lie below `target/`, on a disk: in a temporary directory, which may be memory, a sync would cost nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use holdfast_stack::{Sources, Stack, StackOptions, remove_data};
use sqlx::{Connection, PgConnection};

use crate::sale::sql;
use crate::usage::Pids;

/// The servers, and the directory of everything that is written.
pub(crate) struct Place {
    pub(crate) stack: Stack,
    /// For logs and data.
    pub(crate) directory: PathBuf,
    /// Where Holdfast's programs are.
    pub(crate) programs: PathBuf,
    databases: AtomicU32,
}

impl Place {
    /// Starts them on new data.
    ///
    /// # Errors
    /// When they do not start.
    pub(crate) async fn start(programs: PathBuf, directory: PathBuf) -> anyhow::Result<Self> {
        remove(&directory).await?;
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("can't make {}", directory.display()))?;
        // A measurement must not touch a server that somebody has named for other work.
        let sources = Sources {
            database_url: None,
            nats_url: None,
            ..Sources::from_env()
        };
        let options = StackOptions {
            data_dir: directory.join("stack"),
            sources,
        };
        let stack = Stack::start(options, &|line| eprintln!("{line}")).await?;
        Ok(Self {
            stack,
            directory,
            programs,
            databases: AtomicU32::new(0),
        })
    }

    pub(crate) fn nats_url(&self) -> &str {
        self.stack.nats_url()
    }

    /// Where NATS has its settings, which are read when it starts.
    pub(crate) fn nats_conf(&self) -> PathBuf {
        self.directory.join("stack/nats/nats.conf")
    }

    /// The servers' processes.
    pub(crate) fn pids(&self) -> Pids {
        let postgres = self.stack.postgres().and_then(|postgres| postgres.pid());
        let nats = self.stack.nats().and_then(|nats| nats.pid());
        Pids {
            postgres: postgres.into_iter().collect(),
            nats: nats.into_iter().collect(),
            ..Pids::default()
        }
    }

    /// A new database: its name and URL.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn create_database(&self) -> anyhow::Result<(String, String)> {
        let name = format!("bench_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.execute(format!("CREATE DATABASE {name}")).await?;
        let (server, _) = self
            .stack
            .database_url()
            .rsplit_once('/')
            .context("a URL without a database")?;
        Ok((name.clone(), format!("{server}/{name}")))
    }

    /// Removes a database, so that what has been measured does not disturb what comes next.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        self.execute(format!("DROP DATABASE {name} WITH (FORCE)"))
            .await
    }

    async fn execute(&self, statement: String) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(self.stack.database_url()).await?;
        sqlx::query(sql(statement)).execute(&mut connection).await?;
        Ok(connection.close().await?)
    }

    /// Stops them and removes what was written.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stack.stop().await?;
        remove(&self.directory).await
    }
}

async fn remove(directory: &Path) -> anyhow::Result<()> {
    // First what Holdfast keeps elsewhere for root.
    remove_data(&directory.join("stack")).await?;
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
