//! One process of the cluster. It has its own proxies to Postgres and NATS, so that each of its connections can fail alone.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context;
use holdfast_tests::{Client, Process};
use nix::sys::signal::Signal;
use nix::unistd::Pid;
use serde_json::Value;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

use crate::proxy::Proxy;

/// How long a process may take to serve, including restarts.
const START_WAIT: Duration = Duration::from_secs(90);
/// How long a process may take to stop after a signal.
const STOP_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How long a request may take, many times longer than needed.
const REPLY_WAIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ingress,
    Worker,
}

impl Role {
    /// The name of the program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Ingress => "holdfast-ingress",
            Self::Worker => "holdfast-workers",
        }
    }

    /// The log message that shows that the process works.
    fn working_message(self) -> &'static str {
        match self {
            Self::Ingress => "\"listening\"",
            Self::Worker => "\"partition taken\"",
        }
    }
}

/// The present process of a member. The holder of its lock may start and stop it.
#[derive(Debug, Default)]
pub struct MemberProcess {
    child: Option<Process>,
    starts: usize,
}

/// A member of the cluster: its settings and proxies, and its process if it runs.
#[derive(Debug)]
pub struct Member {
    /// The name in log files and events.
    pub name: String,
    /// The proxy to Postgres.
    pub postgres: Proxy,
    /// The proxy to NATS.
    pub nats: Proxy,
    role: Role,
    program: PathBuf,
    settings: Vec<(String, String)>,
    directory: PathBuf,
    process: Mutex<MemberProcess>,
    client: RwLock<Client>,
}

impl Member {
    /// A member without a process. It puts proxies before the servers of these URLs.
    ///
    /// # Errors
    /// When no port is free for a proxy.
    pub async fn new(
        role: Role,
        number: usize,
        program: PathBuf,
        (database_url, nats_url): (&str, &str),
        mut settings: Vec<(String, String)>,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let (postgres, database_url) = start_proxy(database_url).await?;
        let (nats, nats_url) = start_proxy(nats_url).await?;
        settings.extend([
            ("DATABASE_URL".to_owned(), database_url),
            ("NATS_URL".to_owned(), nats_url),
        ]);
        let name = format!("{}-{number}", role.program());
        let (process, directory) = (Mutex::default(), directory.to_owned());
        Ok(Self {
            name,
            postgres,
            nats,
            role,
            program,
            settings,
            directory,
            process,
            client: RwLock::new(client_of("127.0.0.1:9")?),
        })
    }

    /// Locks the process, unless another task has locked it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, MemberProcess>> {
        self.process.try_lock().ok()
    }

    /// Locks the process.
    pub async fn lock(&self) -> MutexGuard<'_, MemberProcess> {
        self.process.lock().await
    }

    /// A client of the ingress.
    pub fn client(&self) -> Client {
        self.client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts the process if it does not run, and restarts it while it ends before it serves.
    ///
    /// # Errors
    /// When the process does not serve in time.
    pub async fn start(&self, process: &mut MemberProcess) -> anyhow::Result<()> {
        let give_up = Instant::now() + START_WAIT;
        while !process.is_running() {
            anyhow::ensure!(
                Instant::now() < give_up,
                "{} does not start: see {}",
                self.name,
                self.log(process).display()
            );
            process.starts += 1;
            let mut child = Process::start(&self.program, &[], &self.settings, self.log(process));
            if self.role == Role::Worker {
                process.child = Some(child);
            } else if let Some(address) = wait_for_address(&mut child, give_up).await {
                *self.client.write().unwrap_or_else(PoisonError::into_inner) = client_of(&address)?;
                process.child = Some(child);
            }
        }
        Ok(())
    }

    /// The log file of the present process.
    fn log(&self, process: &MemberProcess) -> PathBuf {
        self.directory
            .join(format!("{}.{}.log", self.name, process.starts))
    }

    /// After a crash: whether the process had worked, and the last line of its log.
    pub fn take_crash(&self, process: &mut MemberProcess) -> Option<(bool, String)> {
        if process.child.is_none() || process.is_running() {
            return None;
        }
        let log = std::fs::read_to_string(self.log(process)).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default().to_owned();
        process.child = None;
        Some((log.contains(self.role.working_message()), last))
    }
}

impl MemberProcess {
    fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|process| process.has_ended().is_none())
    }

    /// The process id, if the process runs.
    pub fn pid(&mut self) -> Option<u32> {
        if self.is_running() {
            self.child.as_ref().map(Process::pid)
        } else {
            None
        }
    }

    /// Sends a signal, if the process runs.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // If the process ends now, it is not reaped before the next check, so its process id is not used again.
            let _ = nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Sends a signal and waits until the process has ended; returns whether it ended in time.
    pub async fn end(&mut self, signal: Signal) -> bool {
        self.signal(signal);
        let give_up = Instant::now() + STOP_WAIT;
        while self.is_running() {
            if Instant::now() >= give_up {
                // Dropping the process kills it.
                self.child = None;
                return false;
            }
            sleep(POLL).await;
        }
        self.child = None;
        true
    }
}

fn client_of(address: &str) -> anyhow::Result<Client> {
    Ok(Client::new(&format!("http://{address}")).with_timeout(REPLY_WAIT)?)
}

/// Starts a proxy to the server of a URL; returns the URL of the proxy, too.
async fn start_proxy(url: &str) -> anyhow::Result<(Proxy, String)> {
    let (_, rest) = url.split_once("//").context("not a URL")?;
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let target: SocketAddr = host
        .parse()
        .with_context(|| format!("no address in {host}"))?;
    let proxy = Proxy::start(target).await?;
    let through = url.replacen(host, &proxy.address().to_string(), 1);
    Ok((proxy, through))
}

/// The address on which a process listens; `None` when the process ends or does not listen in time.
async fn wait_for_address(process: &mut Process, give_up: Instant) -> Option<String> {
    while process.has_ended().is_none() && Instant::now() < give_up {
        let output = process.output();
        if let Some(line) = output
            .lines()
            .find(|line| line.contains(Role::Ingress.working_message()))
        {
            let line: Value = serde_json::from_str(line).ok()?;
            return line["address"].as_str().map(str::to_owned);
        }
        sleep(POLL).await;
    }
    None
}
