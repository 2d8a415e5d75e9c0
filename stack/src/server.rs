//! A server as a child process: its port, its log file, start, stop, kill and restart. The code is the same for Postgres and
//! NATS.
//!
//! The operating system chooses a free port. After the server was ready once, the port never changes, because clients have its
//! URL. Before that, a port that another process took in the meantime is replaced.

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

/// Time limit until a server is ready. It includes recovery after a crash, which is slow on a slow disk.
const START_WAIT: Duration = Duration::from_secs(60);
/// Pause between two attempts to start, while another process uses the port or the data.
const RETRY_WAIT: Duration = Duration::from_millis(100);
/// Time limit for an orderly stop. After it the server is killed.
const STOP_WAIT: Duration = Duration::from_secs(3);
/// Time limit for a killed process to end.
const KILL_WAIT: Duration = Duration::from_secs(5);
/// Largest log file at a start, in bytes. A larger one is renamed to `.old`, which replaces the previous `.old` file.
const LOG_BYTES_MAX: u64 = 16 << 20;

/// The differences between the servers.
pub(crate) trait Program: Sync {
    const NAME: &'static str;
    /// The signal for an orderly stop that does not wait for clients.
    const STOP: Signal;
    /// The signal that ends the server at once, with its children. The kernel sends it when Holdfast has ended.
    const LAST: Signal;
    /// Texts in the log that mean that a previous server still uses the data.
    const STILL_CLOSING: &'static [&'static str];

    fn log(&self) -> PathBuf;
    fn command(&self, port: u16) -> Command;
    /// Completes when process `pid` accepts connections, and not another process that took its port.
    fn ready(&self, port: u16, pid: u32) -> impl Future<Output = ()> + Send;
}

#[derive(Debug)]
pub(crate) struct Server<P> {
    program: P,
    port: u16,
    /// Whether the server was ready on `port` before.
    is_port_final: bool,
    process: Option<Process>,
}

impl<P: Program> Server<P> {
    /// Starts the server for the first time, on a free port.
    pub(crate) async fn start_new(program: P) -> Result<Server<P>, StackError> {
        let mut server = Server {
            program,
            port: free_port()?,
            is_port_final: false,
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

    /// Starts the server unless it runs, and waits until it is ready.
    pub(crate) async fn start(&mut self) -> Result<(), StackError> {
        if let Some(process) = &mut self.process
            && process
                .ended()
                .doing(|| format!("check the process of {}", P::NAME))?
                .is_none()
        {
            return Ok(());
        }
        let deadline = Instant::now() + START_WAIT;
        loop {
            let failure = match self.attempt(deadline).await {
                Ok(()) => {
                    self.is_port_final = true;
                    return Ok(());
                }
                Err(failure) => failure,
            };
            let StackError::Exited { tail, .. } = &failure else {
                return Err(failure);
            };
            // Postgres prints "Address already in use", NATS "address already in use".
            let port_taken = tail.contains("ddress already in use");
            let closing = P::STILL_CLOSING.iter().any(|words| tail.contains(words));
            if !(port_taken || closing) || Instant::now() >= deadline {
                return Err(failure);
            }
            if port_taken && !self.is_port_final {
                self.port = free_port()?;
            }
            sleep(RETRY_WAIT).await;
        }
    }

    /// One attempt to start. The process ends when the attempt fails, or when it is cancelled.
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

    /// Stops the server in an orderly way. Kills it when that takes too long.
    pub(crate) async fn stop(&mut self) -> Result<(), StackError> {
        self.end(P::STOP).await
    }

    /// Kills the server with SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<(), StackError> {
        self.end(Signal::SIGKILL).await
    }

    async fn end(&mut self, signal: Signal) -> Result<(), StackError> {
        let stopping = || format!("stop {}", P::NAME);
        // `self.process` is cleared only at the end, so that the server keeps its process when the caller stops waiting.
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

/// A free port. Linux gives odd ports to listeners and even ports to outgoing connections. So a client that keeps connecting to
/// a stopped server can't take the port of that server.
fn free_port() -> Result<u16, StackError> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .doing(|| "find a free port on 127.0.0.1".to_owned())
}

/// The log file, and the offset at which the output of this start begins.
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
