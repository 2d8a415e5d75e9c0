//! NATS as a child process.
//!
//! Its directory has `nats.conf` (the repository's, written anew at each start), `nats.log` and JetStream's store. There is
//! one configuration for development, tests and production, so that what tests show holds elsewhere.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::Progress;
use crate::child_process::POLL;
use crate::error::{Doing, StackError};
use crate::server::{Program, Server};

const CONFIGURATION: &str = include_str!("../../nats.conf");
/// The server's first line is a few hundred bytes.
const INFO_BYTES_MAX: u64 = 16 << 10;
const INFO_WAIT: Duration = Duration::from_secs(1);

/// A NATS server started by this process. It ends with the process, or when it is dropped.
#[derive(Debug)]
pub struct Nats {
    server: Server<NatsServer>,
}

impl Nats {
    pub(crate) async fn start_new(
        program: PathBuf,
        home: PathBuf,
        progress: Progress<'_>,
    ) -> Result<Nats, StackError> {
        let configuration = home.join("nats.conf");
        fs::write(&configuration, CONFIGURATION)
            .doing(|| format!("write {}", configuration.display()))?;
        let name = format!("holdfast-{}", hex::encode(rand::random::<[u8; 8]>()));
        let server = Server::start_new(NatsServer {
            program,
            home,
            name,
        })
        .await?;
        progress(&format!("NATS is ready on port {}", server.port()));
        Ok(Nats { server })
    }

    /// Where clients connect.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.server.port())
    }

    /// The port on 127.0.0.1, the same for all starts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The process; none while it is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Starts it again after [`Nats::stop`] or [`Nats::kill`], on the same port and data, and waits until it serves
    /// clients.
    ///
    /// # Errors
    /// When it ends before it is ready, or is not ready in time.
    pub async fn start(&mut self) -> Result<(), StackError> {
        self.server.start().await
    }

    /// Stops it. Takes a few seconds at most, then it is killed.
    ///
    /// # Errors
    /// When the system refuses to signal it.
    pub async fn stop(&mut self) -> Result<(), StackError> {
        self.server.stop().await
    }

    /// Kills it with SIGKILL, as a crash would.
    ///
    /// # Errors
    /// When the system refuses to signal it.
    pub async fn kill(&mut self) -> Result<(), StackError> {
        self.server.kill().await
    }
}

#[derive(Debug)]
struct NatsServer {
    program: PathBuf,
    home: PathBuf,
    /// Tells this server from another one that was quicker to take the port.
    name: String,
}

impl NatsServer {
    /// Whether this server greets on `port`. It listens only after JetStream has recovered its store.
    async fn greets(&self, port: u16) -> std::io::Result<bool> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut line = String::new();
        BufReader::new(stream.take(INFO_BYTES_MAX))
            .read_line(&mut line)
            .await?;
        Ok(line.starts_with("INFO ")
            && line.contains(&format!("\"server_name\":\"{}\"", self.name)))
    }
}

impl Program for NatsServer {
    const NAME: &'static str = "NATS";
    const STOP: Signal = Signal::SIGTERM;
    const LAST: Signal = Signal::SIGKILL;
    const STILL_CLOSING: &'static [&'static str] = &[];

    fn log(&self) -> PathBuf {
        self.home.join("nats.log")
    }

    fn command(&self, port: u16) -> Command {
        let mut command = Command::new(&self.program);
        command
            .arg("-c")
            .arg(self.home.join("nats.conf"))
            .arg("-sd")
            .arg(&self.home);
        command.args(["-a", "127.0.0.1", "-p", &port.to_string(), "-n", &self.name]);
        command
    }

    async fn ready(&self, port: u16, _pid: u32) {
        while !matches!(timeout(INFO_WAIT, self.greets(port)).await, Ok(Ok(true))) {
            sleep(POLL).await;
        }
    }
}
