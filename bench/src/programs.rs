//! Builds Holdfast's programs from the present sources, and runs them as processes.
//!
//! They run as an operator runs them: each is a process, configured by environment variables.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take to start.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long a program may take to stop. After this time it is killed.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Time between two reads of a program's log.
const POLL: Duration = Duration::from_millis(10);

/// Builds the measured programs with the profile of this program; returns the directory of the programs.
///
/// # Errors
/// When the build fails.
pub(crate) async fn build() -> anyhow::Result<PathBuf> {
    let running = std::env::current_exe()?;
    let directory = running
        .parent()
        .context("a program without a directory")?
        .to_owned();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target = directory
        .parent()
        .context("a program outside of a target directory")?;
    // Cargo sets these variables for this package. Build scripts that read them would run again, in this build and in the next.
    let of_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let of_package = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(of_package));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    of_package.for_each(|name| _ = cargo.env_remove(name));
    // This package is included so that all builds use the same features of dependencies. Otherwise the next
    // `cargo run -p bench` would build them again.
    let packages =
        ["bench", "holdfast-ingress", "holdfast-workers"].map(|package| ["--package", package]);
    let status = cargo
        .args([
            "build",
            "--bins",
            "--locked",
            "--quiet",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target)
        .args(packages.as_flattened())
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status()
        .await?;
    ensure!(status.success(), "the build of Holdfast's programs failed");
    Ok(directory)
}

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with only these environment variables; its output goes to the log file.
    ///
    /// # Errors
    /// When the program does not start.
    pub(crate) fn start(
        program: &Path,
        arguments: &[&str],
        settings: &[(String, String)],
        log: PathBuf,
    ) -> anyhow::Result<Self> {
        let out = std::fs::File::create(&log)
            .with_context(|| format!("can't write {}", log.display()))?;
        let child = Command::new(program)
            .args(arguments)
            .env_clear()
            .envs(settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out.try_clone()?)
            .stderr(out)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{} did not start", program.display()))?;
        Ok(Self { child, log })
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the program logs that it listens; returns the address.
    ///
    /// # Errors
    /// When the program ends, or does not listen within [`START_WAIT`].
    pub(crate) async fn address(&mut self) -> anyhow::Result<std::net::SocketAddr> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let output = std::fs::read_to_string(&self.log)?;
            let line = output.lines().find(|line| line.contains("\"listening\""));
            if let Some((_, address)) = line.and_then(|line| line.split_once("\"address\":\"")) {
                return Ok(address.split('"').next().unwrap_or_default().parse()?);
            }
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("a program did not start; its output:\n{output}");
            }
            sleep(POLL).await;
        }
    }

    /// Sends SIGTERM and waits until the program has ended.
    ///
    /// # Errors
    /// When the operating system refuses.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        if let Some(pid) = self.pid() {
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGTERM)?;
        }
        if timeout(STOP_WAIT, self.child.wait()).await.is_err() {
            self.child.kill().await?;
        }
        Ok(())
    }
}
