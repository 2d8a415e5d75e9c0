//! The servers of a run: one Postgres and one NATS, started by the code that `holdfast dev` uses.
//!
//! Their data lie in the target directory, which is on a disk. A temporary directory may be memory, where a sync costs
//! nothing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context;
use holdfast_stack::{Sources, Stack, StackOptions, remove_data};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::usage::Pids;

/// The running servers, and the directory of their data and logs.
pub(crate) struct Environment {
    pub(crate) stack: Stack,
    pub(crate) directory: PathBuf,
    /// The directory of Holdfast's programs.
    pub(crate) programs: PathBuf,
    databases: AtomicU32,
}

impl Environment {
    /// Starts the servers on empty data.
    ///
    /// # Errors
    /// When a server does not start.
    pub(crate) async fn start(programs: PathBuf, directory: PathBuf) -> anyhow::Result<Self> {
        remove(&directory).await?;
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("can't make {}", directory.display()))?;
        // A measurement must not use the servers that DATABASE_URL and NATS_URL name for other work.
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

    /// The settings file of NATS, which NATS reads when it starts.
    pub(crate) fn nats_conf(&self) -> PathBuf {
        self.directory.join("stack/nats/nats.conf")
    }

    /// The process ids of the servers.
    pub(crate) fn pids(&self) -> Pids {
        let postgres = self.stack.postgres().and_then(|postgres| postgres.pid());
        let nats = self.stack.nats().and_then(|nats| nats.pid());
        Pids {
            postgres: postgres.into_iter().collect(),
            nats: nats.into_iter().collect(),
            ..Pids::default()
        }
    }

    /// Creates a database; returns its name and its URL.
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

    /// Drops a database, so that it does not disturb the next measurement.
    ///
    /// # Errors
    /// When Postgres fails.
    pub(crate) async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        self.execute(format!("DROP DATABASE {name} WITH (FORCE)"))
            .await
    }

    async fn execute(&self, statement: String) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(self.stack.database_url()).await?;
        // The statements contain no input: the names of databases come from `create_database`.
        sqlx::query(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
        Ok(connection.close().await?)
    }

    /// Stops the servers and removes their data and logs.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.stack.stop().await?;
        remove(&self.directory).await
    }
}

async fn remove(directory: &Path) -> anyhow::Result<()> {
    // Root's server data lie outside of this directory.
    remove_data(&directory.join("stack")).await?;
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
