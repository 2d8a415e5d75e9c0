//! NATS as a child process.
//!
//! Its directory has `nats.conf` (a copy of the repository's file, written at each start of a stack), `nats.log` and the store
//! of JetStream. Development, tests and production use the same configuration, so that tests are valid for production.

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
/// Longest first line of the server, in bytes. It usually has a few hundred.
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

    /// The URL for clients.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.server.port())
    }

    /// The port on 127.0.0.1. It does not change when the server restarts.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// The process id; `None` while the server is stopped.
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Restarts the server after [`Nats::stop`] or [`Nats::kill`], on the same port and data, and waits until it accepts
    /// connections.
    ///
    /// # Errors
    /// When the server ends before it is ready, or is not ready in time.
    pub async fn start(&mut self) -> Result<(), StackError> {
        self.server.start().await
    }

    /// Stops the server. Kills it when it has not ended after a few seconds.
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

#[derive(Debug)]
struct NatsServer {
    program: PathBuf,
    home: PathBuf,
    /// A random name, which distinguishes this server from another one that took the port first.
    name: String,
}

impl NatsServer {
    /// Whether this server sends its greeting on `port`. It listens only after JetStream has recovered its store.
    async fn sends_greeting(&self, port: u16) -> std::io::Result<bool> {
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
        while !matches!(
            timeout(INFO_WAIT, self.sends_greeting(port)).await,
            Ok(Ok(true))
        ) {
            sleep(POLL).await;
        }
    }
}
