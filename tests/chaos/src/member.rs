//! One process of the cluster, with its own way to Postgres and to NATS, so that each can be lost alone.

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

/// How long a process may take until it serves, however often it has to begin again.
const START_WAIT: Duration = Duration::from_secs(90);
/// How long a process may take to stop when it is asked to.
const STOP_WAIT: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
/// How long a request may take: many times as long as an ingress should.
const ANSWER_WAIT: Duration = Duration::from_secs(20);

/// What a process is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It answers HTTP requests.
    Ingress,
    /// It applies commands.
    Worker,
}

impl Role {
    /// The name of its program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Ingress => "holdfast-ingress",
            Self::Worker => "holdfast-workers",
        }
    }

    /// What its log says once it does its work.
    fn sign_of_work(self) -> &'static str {
        match self {
            Self::Ingress => "\"listening\"",
            Self::Worker => "\"partition taken\"",
        }
    }
}

/// The process as it is now. Whoever holds this decides over its life.
#[derive(Debug, Default)]
pub struct Life {
    process: Option<Process>,
    starts: usize,
}

/// A process's place in the cluster.
#[derive(Debug)]
pub struct Member {
    /// Its name, as in its log files.
    pub name: String,
    /// Its way to Postgres.
    pub postgres: Proxy,
    /// Its way to NATS.
    pub nats: Proxy,
    role: Role,
    program: PathBuf,
    settings: Vec<(String, String)>,
    directory: PathBuf,
    life: Mutex<Life>,
    client: RwLock<Client>,
}

impl Member {
    /// A place without a process yet. The URLs are those of the servers; the process is given the proxies'.
    ///
    /// # Errors
    /// When a proxy has no port.
    pub async fn new(
        role: Role,
        number: usize,
        program: PathBuf,
        (database_url, nats_url): (&str, &str),
        mut settings: Vec<(String, String)>,
        directory: &Path,
    ) -> anyhow::Result<Self> {
        let (postgres, database_url) = behind_proxy(database_url).await?;
        let (nats, nats_url) = behind_proxy(nats_url).await?;
        settings.extend([
            ("DATABASE_URL".to_owned(), database_url),
            ("NATS_URL".to_owned(), nats_url),
        ]);
        let name = format!("{}-{number}", role.program());
        let (life, directory) = (Mutex::default(), directory.to_owned());
        Ok(Self {
            name,
            postgres,
            nats,
            role,
            program,
            settings,
            directory,
            life,
            client: RwLock::new(client_of("127.0.0.1:9")?),
        })
    }

    /// Takes its life into one's hands, unless somebody has it.
    pub fn try_life(&self) -> Option<MutexGuard<'_, Life>> {
        self.life.try_lock().ok()
    }

    /// Takes its life into one's hands.
    pub async fn life(&self) -> MutexGuard<'_, Life> {
        self.life.lock().await
    }

    /// A client of it, when it is an ingress.
    pub fn client(&self) -> Client {
        self.client
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Starts it, unless it runs; again and again as long as it ends before it serves, as an operator's supervisor does.
    ///
    /// # Errors
    /// When it does not serve in time.
    pub async fn start(&self, life: &mut Life) -> anyhow::Result<()> {
        let give_up = Instant::now() + START_WAIT;
        while !life.runs() {
            anyhow::ensure!(
                Instant::now() < give_up,
                "{} does not start: see {}",
                self.name,
                self.log(life).display()
            );
            life.starts += 1;
            let mut process = Process::start(&self.program, &[], &self.settings, self.log(life));
            if self.role == Role::Worker {
                life.process = Some(process);
            } else if let Some(address) = address(&mut process, give_up).await {
                *self.client.write().unwrap_or_else(PoisonError::into_inner) = client_of(&address)?;
                life.process = Some(process);
            }
        }
        Ok(())
    }

    /// Where its process of this life writes its log.
    fn log(&self, life: &Life) -> PathBuf {
        self.directory
            .join(format!("{}.{}.log", self.name, life.starts))
    }

    /// When it ended by itself: what its log says last, and whether it had been at work.
    pub fn fell(&self, life: &mut Life) -> Option<(bool, String)> {
        if life.process.is_none() || life.runs() {
            return None;
        }
        let log = std::fs::read_to_string(self.log(life)).unwrap_or_default();
        let last = log.lines().last().unwrap_or_default().to_owned();
        life.process = None;
        Some((log.contains(self.role.sign_of_work()), last))
    }
}

impl Life {
    fn runs(&mut self) -> bool {
        self.process
            .as_mut()
            .is_some_and(|process| process.has_ended().is_none())
    }

    /// The process's id, if it runs.
    pub fn pid(&mut self) -> Option<u32> {
        if self.runs() {
            self.process.as_ref().map(Process::pid)
        } else {
            None
        }
    }

    /// Sends a signal, if it runs.
    pub fn signal(&mut self, signal: Signal) {
        if let Some(pid) = self.pid() {
            // It may end this moment, but it is not reaped before the next look: the number is nobody else's.
            let _ = nix::sys::signal::kill(Pid::from_raw(pid.cast_signed()), signal);
        }
    }

    /// Sends a signal that ends it, and waits until it is gone; says whether it went in time.
    pub async fn end(&mut self, signal: Signal) -> bool {
        self.signal(signal);
        let give_up = Instant::now() + STOP_WAIT;
        while self.runs() {
            if Instant::now() >= give_up {
                // Dropping it kills it.
                self.process = None;
                return false;
            }
            sleep(POLL).await;
        }
        self.process = None;
        true
    }
}

fn client_of(address: &str) -> anyhow::Result<Client> {
    Ok(Client::new(&format!("http://{address}")).with_timeout(ANSWER_WAIT)?)
}

/// A proxy before a URL's server, and the URL that leads through it.
async fn behind_proxy(url: &str) -> anyhow::Result<(Proxy, String)> {
    let (_, behind_scheme) = url.split_once("//").context("no URL")?;
    let authority = behind_scheme.split('/').next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let target: SocketAddr = host
        .parse()
        .with_context(|| format!("no address in {host}"))?;
    let proxy = Proxy::start(target).await?;
    let through = url.replacen(host, &proxy.address().to_string(), 1);
    Ok((proxy, through))
}

/// Where a process says that it listens; none when it ends or says nothing in time.
async fn address(process: &mut Process, give_up: Instant) -> Option<String> {
    while process.has_ended().is_none() && Instant::now() < give_up {
        let output = process.output();
        if let Some(line) = output
            .lines()
            .find(|line| line.contains(Role::Ingress.sign_of_work()))
        {
            let line: Value = serde_json::from_str(line).ok()?;
            return line["address"].as_str().map(str::to_owned);
        }
        sleep(POLL).await;
    }
    None
}
