//! The sale that is measured: `holdfast dev` of the same build, with its own data and on a port of the OS's choice.

use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::http::Connection;

const ADMIN: &str = "authorization: Bearer dev-admin-token\r\n";
/// The secret of payment webhooks that `dev` uses.
pub(crate) const WEBHOOK_SECRET: &[u8] = b"dev-webhook-secret";

pub(crate) struct Sale {
    address: SocketAddr,
    started: Option<(Child, tempfile::TempDir)>,
}

impl Sale {
    /// One that somebody else has started.
    pub(crate) fn at(address: SocketAddr) -> Self {
        Self { address, started: None }
    }

    pub(crate) async fn start() -> anyhow::Result<Self> {
        let program = std::env::current_exe()?.with_file_name("holdfast");
        ensure!(program.exists(), "build Holdfast in the same profile first: cargo build --release --workspace --bins");
        let data = tempfile::tempdir()?;
        let mut process = Command::new(program)
            .args(["dev", "--fresh", "--data-dir"])
            .arg(data.path().join("sale"))
            .env("PORT", "0")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let output = process.stdout.take().context("no output")?;
        let line = BufReader::new(output).lines().next_line().await?.context("Holdfast ended")?;
        let address = line.rsplit_once("http://").context("no address")?.1.parse()?;
        Ok(Self { address, started: Some((process, data)) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A product of its own for each measurement.
    pub(crate) async fn product(&self, total_stock: u64) -> anyhow::Result<i64> {
        let body = json!({"name": "Lamp", "price_minor": 9999, "currency": "USD", "total_stock": total_stock});
        let mut connection = Connection::open(self.address).await?;
        let response = connection.post("/api/admin/products", ADMIN, body.to_string().as_bytes()).await?;
        ensure!(response.status == 201, "a product was answered {}", response.status);
        serde_json::from_slice::<Value>(response.body)?["id"].as_i64().context("no id")
    }

    /// Ends what was started.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Some((mut process, _data)) = self.started else { return Ok(()) };
        let pid = process.id().context("Holdfast has ended by itself")?;
        kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        process.wait().await?;
        Ok(())
    }
}
