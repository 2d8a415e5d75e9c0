//! What Postgres and NATS have in common as child processes: a port, a log file, a way to start, stop, kill and start
//! again.
//!
//! A server gets its port from the OS. Once it has been ready there it keeps that port for good, because clients hold its
//! URL; until then a port that somebody else was quicker to take is replaced by another.

use std::fs::{self, File};
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tokio::time::{sleep, timeout};

use crate::child_process::{self, POLL, Process};
use crate::error::{Doing, StackError};

/// How long a server may take until it is ready: recovery after a crash included, which a slow disk draws out.
const START_WAIT: Duration = Duration::from_secs(60);
/// Between two attempts to start, while the port or the data are still taken.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// How long a server may take to stop by itself; then it is killed.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// How long the kernel may take to end a killed process.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// A log file that is larger at a start is put aside, and the one put aside before is dropped.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// What differs between the servers.
pub(crate) trait Program: Sync {
    const NAME: &'static str;
    /// Asks for an orderly stop that doesn't wait for clients.
    const STOP: Signal;
    /// Ends it at once, with its children; sent when Holdfast is gone.
    const LAST: Signal;
    /// Bits of its log that tell that a predecessor is still giving up the data.
    const STILL_CLOSING: &'static [&'static str];

    fn log(&self) -> PathBuf;
    fn command(&self, port: u16) -> Command;
    /// Completes when this very process, not another that took its port, serves clients.
    fn ready(&self, port: u16, pid: u32) -> impl Future<Output = ()> + Send;
}

#[derive(Debug)]
pub(crate) struct Server<P> {
    program: P,
    port: u16,
    /// Whether it has been ready on `port`.
    settled: bool,
    process: Option<Process>,
}

impl<P: Program> Server<P> {
    /// Starts it for the first time, on a port of the OS's choice.
    pub(crate) async fn start_new(program: P) -> Result<Server<P>, StackError> {
        let mut server = Server {
            program,
            port: free_port()?,
            settled: false,
            process: None,
        };
        server.start().await?;
        Ok(server)
    }

    pub(crate) fn program(&self) -> &P {
        &self.program
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Starts it unless it runs, and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<(), StackError> {
        if let Some(process) = &mut self.process
            && process
                .ended()
                .doing(|| format!("look after {}", P::NAME))?
                .is_none()
        {
            return Ok(());
        }
        let deadline = Instant::now() + START_WAIT;
        loop {
            let failure = match self.attempt(deadline).await {
                Ok(()) => {
                    self.settled = true;
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let StackError::Exited { tail, .. } = &failure else {
                return Err(failure);
            };
            // "Address already in use" of Postgres, "address already in use" of NATS.
            let port_taken = tail.contains("ddress already in use");
            let closing = P::STILL_CLOSING.iter().any(|words| tail.contains(words));
            if !(port_taken || closing) || Instant::now() >= deadline {
                return Err(failure);
            }
            if port_taken && !self.settled {
                self.port = free_port()?;
            }
            sleep(RETRY_WAIT).await;
        }
    }

    /// One attempt. Whatever was started is ended when it fails, or when it is cancelled and the server then dropped.
    async fn attempt(&mut self, deadline: Instant) -> Result<(), StackError> {
        let path = self.program.log();
        let (mut log, start) =
            open_log(&path).doing(|| format!("write the log file {}", path.display()))?;
        let mut command = self.program.command(self.port);
        child_process::print_to(&mut command, &log)
            .doing(|| format!("write the log file {}", path.display()))?;
        let starting = || format!("start {}", P::NAME);
        let mut process = child_process::spawn(command, P::LAST)
            .await
            .doing(starting)?;

        let mut ready = std::pin::pin!(self.program.ready(self.port, process.pid()));
        loop {
            if let Some(status) = process.ended().doing(starting)? {
                let tail = child_process::tail(&mut log, start)
                    .doing(|| format!("read {}", path.display()))?;
                return Err(StackError::Exited {
                    server: P::NAME,
                    status,
                    log: path,
                    tail,
                });
            }
            if timeout(POLL, &mut ready).await.is_ok() {
                break;
            }
            if Instant::now() >= deadline {
                let tail = child_process::tail(&mut log, start)
                    .doing(|| format!("read {}", path.display()))?;
                return Err(StackError::NotReady {
                    server: P::NAME,
                    waited: START_WAIT,
                    log: path,
                    tail,
                });
            }
        }
        self.process = Some(process);
        Ok(())
    }

    /// Stops it in an orderly way, or kills it when that takes too long.
    pub(crate) async fn stop(&mut self) -> Result<(), StackError> {
        self.end(P::STOP).await
    }

    /// Kills it with SIGKILL: it has no chance to put anything in order.
    pub(crate) async fn kill(&mut self) -> Result<(), StackError> {
        self.end(Signal::SIGKILL).await
    }

    async fn end(&mut self, signal: Signal) -> Result<(), StackError> {
        let stopping = || format!("stop {}", P::NAME);
        // Taken out only at the end: a caller who stops waiting leaves a server that still has its process.
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        process.signal(signal).doing(stopping)?;
        if process.wait(STOP_WAIT).await.doing(stopping)?.is_none() {
            process.signal(Signal::SIGKILL).doing(stopping)?;
            process.wait(KILL_WAIT).await.doing(stopping)?;
        }
        self.process = None;
        Ok(())
    }
}

/// A port nobody listens on now. The kernel hands out odd ones here and even ones to outgoing connections, so that a
/// client that keeps connecting to a stopped server won't take the server's port itself.
fn free_port() -> Result<u16, StackError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .doing(|| "find a free port on 127.0.0.1".to_owned())
}

/// The log file, and where this run's part of it starts.
fn open_log(path: &PathBuf) -> io::Result<(File, u64)> {
    let open = || {
        File::options()
            .create(true)
            .append(true)
            .read(true)
            .open(path)
    };
    let log = open()?;
    let length = log.metadata()?.len();
    if length <= LOG_BYTES_MAX {
        return Ok((log, length));
    }
    fs::rename(path, path.with_extension("log.old"))?;
    Ok((open()?, 0))
}
