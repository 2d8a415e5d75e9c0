//! Postgres as a child process.
//!
//! Its directory has `data` (Postgres's data directory), `password` (of its only user) and `postgres.log`. `data` is created
//! under another name and renamed when it is complete.
//!
//! This module must not weaken durability (`fsync`, `synchronous_commit`), so that tests are valid for production.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use crate::Progress;
use crate::account::{self, Account};
use crate::child_process::{self, POLL};
use crate::error::{Doing, StackError};
use crate::programs::PostgresPrograms;
use crate::server::{Program, Server};

/// The name of the user and of the database.
const NAME: &str = "holdfast";
/// Time limit for each step of creating a database cluster.
const INITDB_WAIT: Duration = Duration::from_secs(120);
const SETTINGS: [&str; 9] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "shared_buffers=256MB",
    "max_wal_size=2GB",
    "logging_collector=off",
    "log_destination=stderr",
    "timezone=UTC",
    "log_timezone=UTC",
];

/// A Postgres started by this process. It ends with the process, or when it is dropped.
#[derive(Debug)]
pub struct Postgres {
    server: Server<Cluster>,
}

impl Postgres {
    pub(crate) async fn start_new(
        programs: &PostgresPrograms,
        account: Option<Account>,
        home: PathBuf,
        progress: Progress<'_>,
    ) -> Result<Postgres, StackError> {
        let data = home.join("data");
        let mut cluster = Cluster {
            bin: programs.bin.clone(),
            account,
            home,
            password: String::new(),
        };
        if data.exists() {
            check_version(&data, programs.version)?;
        } else {
            progress(&format!(
                "creating a Postgres {} database in {}",
                programs.version,
                cluster.home.display()
            ));
            cluster.create(&data).await?;
        }
        let password = cluster.home.join("password");
        cluster.password =
            fs::read_to_string(&password).doing(|| format!("read {}", password.display()))?;
        let server = Server::start_new(cluster).await?;
        progress(&format!(
            "Postgres {} is ready on port {}",
            programs.version,
            server.port()
        ));
        Ok(Postgres { server })
    }

    /// The URL for clients, with user, password and database.
    pub fn url(&self) -> String {
        let password = &self.server.program().password;
        format!(
            "postgres://{NAME}:{password}@127.0.0.1:{}/{NAME}",
            self.server.port()
        )
    }

    /// The port on 127.0.0.1. It does not change when the server restarts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The process id; `None` while the server is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Restarts the server after [`Postgres::stop`] or [`Postgres::kill`], on the same port and data, and waits until it
    /// accepts connections.
    ///
    /// # Errors
    /// When the server ends before it is ready, or is not ready in time.
    pub async fn start(&mut self) -> Result<(), StackError> {
        self.server.start().await
    }

    /// Stops the server: it rolls back open transactions and disconnects clients. Kills it when it has not ended after a few
    /// seconds.
    ///
    /// # Errors
    /// When the process can't be signalled.
    pub async fn stop(&mut self) -> Result<(), StackError> {
        self.server.stop().await
    }

    /// Kills the server with SIGKILL, to simulate a crash.
    ///
    /// # Errors
    /// When the process can't be signalled.
    pub async fn kill(&mut self) -> Result<(), StackError> {
        self.server.kill().await
    }
}

/// A database cluster: Postgres's term for the databases of one server.
#[derive(Debug)]
struct Cluster {
    bin: PathBuf,
    account: Option<Account>,
    home: PathBuf,
    password: String,
}

impl Cluster {
    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin.join(name));
        // English messages, because `STILL_CLOSING` compares them, and a working directory that the account may read.
        command.current_dir(&self.home).env("LC_ALL", "C");
        for (name, _) in
            std::env::vars_os().filter(|(name, _)| name.as_encoded_bytes().starts_with(b"PG"))
        {
            command.env_remove(name);
        }
        account::run_as(&mut command, self.account);
        command
    }

    /// Creates `data`. Files of an interrupted attempt are removed.
    async fn create(&self, data: &Path) -> Result<(), StackError> {
        let creating = || format!("create a Postgres database in {}", self.home.display());
        fs::set_permissions(&self.home, fs::Permissions::from_mode(0o700)).doing(creating)?;
        account::change_owner(&self.home, self.account).doing(creating)?;
        let unfinished = self.home.join("data.new");
        match fs::remove_dir_all(&unfinished) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).doing(creating),
            _ => {}
        }
        let password = self.home.join("password");
        write_secret(&password, self.account).doing(creating)?;

        let mut initdb = self.program("initdb");
        // `initdb` need not sync: a power cut in these seconds can destroy only an empty database.
        initdb.args([
            "--username",
            NAME,
            "--auth=scram-sha-256",
            "--locale=C.UTF-8",
            "--encoding=UTF8",
            "--no-sync",
        ]);
        initdb
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(&unfinished);
        run(initdb, "", "initdb").await?;

        let mut single = self.program("postgres");
        single
            .args(["--single", "-F", "-c", "exit_on_error=on", "-D"])
            .arg(&unfinished)
            .arg("postgres");
        run(
            single,
            &format!("CREATE DATABASE {NAME}\n"),
            "postgres --single (CREATE DATABASE)",
        )
        .await?;
        fs::rename(&unfinished, data).doing(creating)
    }
}

impl Program for Cluster {
    const NAME: &'static str = "Postgres";
    const STOP: Signal = Signal::SIGINT;
    const LAST: Signal = Signal::SIGQUIT;
    // The first line: the postmaster of a killed Holdfast still runs. The second: backends of a killed postmaster still run.
    // All of them will end soon.
    const STILL_CLOSING: &'static [&'static str] = &[
        "lock file \"postmaster.pid\" already exists",
        "pre-existing shared memory block",
    ];

    fn log(&self) -> PathBuf {
        self.home.join("postgres.log")
    }

    fn command(&self, port: u16) -> Command {
        let mut command = self.program("postgres");
        command
            .arg("-D")
            .arg(self.home.join("data"))
            .arg("-c")
            .arg(format!("port={port}"));
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
    }

    async fn ready(&self, port: u16, pid: u32) {
        #[allow(
            clippy::disallowed_methods,
            reason = "Postgres wrote the start time with the same clock of this host"
        )]
        let started = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let path = self.home.join("data/postmaster.pid");
        loop {
            if fs::read_to_string(&path).is_ok_and(|text| is_ready(&text, pid, port, started)) {
                return;
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Whether the text of postmaster.pid shows that process `pid`, started at about `started` (Unix time in seconds), accepts
/// connections on `port`. `pg_ctl --wait` checks the same file. A connection would not prove that this server answers it. The
/// start time distinguishes the file from an old one of a process with the same id.
fn is_ready(file: &str, pid: u32, port: u16, started: u64) -> bool {
    /// Tolerance for rounding to whole seconds and for adjustments of the clock.
    const SECONDS_EARLY_MAX: u64 = 2;
    let lines: Vec<&str> = file.lines().map(str::trim).collect();
    // Lines: pid, data directory, start time, port, socket directory, address, shared memory, status.
    let [file_pid, _, file_started, file_port, _, _, _, status, ..] = lines[..] else {
        return false;
    };
    file_pid.parse() == Ok(pid)
        && file_port.parse() == Ok(port)
        && file_started
            .parse()
            .is_ok_and(|at: u64| at + SECONDS_EARLY_MAX >= started)
        && status == "ready"
}

fn check_version(data: &Path, found: u32) -> Result<(), StackError> {
    let path = data.join("PG_VERSION");
    let text = fs::read_to_string(&path).doing(|| format!("read {}", path.display()))?;
    match text.trim().parse() {
        Ok(made_by) if made_by != found => Err(StackError::DataVersion {
            directory: data.into(),
            made_by,
            found,
        }),
        // Postgres itself reports a malformed file.
        _ => Ok(()),
    }
}

/// Writes a new password that only `account` may read.
fn write_secret(path: &Path, account: Option<Account>) -> std::io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(hex::encode(rand::random::<[u8; 16]>()).as_bytes())?;
    account::change_owner(path, account)
}

async fn run(command: Command, input: &str, name: &str) -> Result<(), StackError> {
    let finished = child_process::run(command, input, INITDB_WAIT)
        .await
        .doing(|| format!("run {name}"))?;
    if finished.status.success() {
        return Ok(());
    }
    Err(StackError::Failed {
        program: name.into(),
        status: finished.status,
        output: finished.output,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "4711\n/data\n1700000000\n5433\n\n127.0.0.1\n  123   456\nready   \n";

    #[test]
    fn pid_file_of_this_start_is_ready() {
        assert!(is_ready(FILE, 4711, 5433, 1_700_000_001));
    }

    #[test]
    fn pid_file_of_another_start_is_not_ready() {
        assert!(!is_ready(FILE, 4712, 5433, 1_700_000_000));
        assert!(!is_ready(FILE, 4711, 5434, 1_700_000_000));
        assert!(!is_ready(FILE, 4711, 5433, 1_700_000_100));
        assert!(!is_ready(
            &FILE.replace("ready   ", "starting"),
            4711,
            5433,
            1_700_000_000
        ));
        assert!(!is_ready("4711\n/data\n", 4711, 5433, 1_700_000_000));
    }
}
