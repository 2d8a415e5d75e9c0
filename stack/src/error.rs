//! Errors of the local stack.
//!
//! The reader of a message wants to run Holdfast, not to debug this crate. So each message says what to do next.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// The programs were not found, or a server could not be started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// A program named by a setting is too old.
    #[error(
        "{variable} names {path}, which is {found}: Holdfast needs {needed} or newer. \
         Set {variable} to a newer one, or unset it, so that Holdfast searches for one"
    )]
    TooOld {
        /// The name of the setting.
        variable: &'static str,
        path: PathBuf,
        /// The version that the program prints.
        found: String,
        /// The oldest version that Holdfast works with.
        needed: String,
    },

    /// A program named by a setting does not run.
    #[error(
        "{variable} names {path}, which can't be used: {reason}. Correct {variable} or unset it"
    )]
    Unusable {
        /// The name of the setting.
        variable: &'static str,
        path: PathBuf,
        reason: String,
    },

    /// The programs are not on this machine, and downloading them failed.
    #[error(
        "this machine lacks {missing}, and the download failed: {reason}\nInstall Postgres 15 or newer (a system \
         package such as `postgresql`) or nats-server 2.15.1 or newer (https://nats.io/download), and set PG_BIN to the \
         directory of `postgres` and `initdb`, or NATS_BIN to the file `nats-server`. Or set DATABASE_URL and NATS_URL \
         to running servers"
    )]
    NotFound {
        /// The names of the missing programs.
        missing: String,
        reason: String,
    },

    /// Another process uses the data directory.
    #[error("another Holdfast process uses {directory}: stop it, or choose another data directory")]
    InUse { directory: PathBuf },

    /// The data directory contains an entry that Holdfast did not create, with the name of an entry of Holdfast.
    #[error(
        "Holdfast did not create {path}, and does not change it: choose another data directory"
    )]
    Foreign { path: PathBuf },

    /// Another major version of Postgres created the data.
    #[error(
        "Postgres {made_by} created the data in {directory}, but Postgres {found} was found: set PG_BIN to a Postgres \
         {made_by}, or start with new data"
    )]
    DataVersion {
        directory: PathBuf,
        made_by: u32,
        found: u32,
    },

    /// Holdfast runs as root, and no unprivileged account exists for Postgres.
    #[error(
        "Postgres does not run as root, and this machine has neither an account `postgres` nor `nobody`: add one, or run \
         Holdfast as an ordinary user"
    )]
    NoAccount,

    /// A helper program such as `initdb` failed.
    #[error("{program} failed ({status}). The end of its output:\n{output}")]
    Failed {
        program: String,
        status: ExitStatus,
        output: String,
    },

    /// A server ended before it was ready.
    #[error("{server} ended while starting ({status}). The end of its log, {log}:\n{tail}")]
    Exited {
        server: &'static str,
        status: ExitStatus,
        log: PathBuf,
        tail: String,
    },

    /// A server runs, but was not ready in time.
    #[error("{server} was not ready after {waited:?}. The end of its log, {log}:\n{tail}")]
    NotReady {
        server: &'static str,
        waited: Duration,
        log: PathBuf,
        tail: String,
    },

    /// A system call failed.
    #[error("could not {doing}: {source}")]
    Io {
        /// The failed action, as the words after "could not".
        doing: String,
        source: io::Error,
    },
}

/// Adds the failed action to an error of the operating system.
pub(crate) trait Doing<T> {
    /// `action` completes the sentence "could not …".
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, StackError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, action: impl FnOnce() -> String) -> Result<T, StackError> {
        self.map_err(|source| StackError::Io {
            doing: action(),
            source,
        })
    }
}
