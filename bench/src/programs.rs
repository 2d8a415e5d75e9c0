//! Holdfast's programs, built from the sources as they are now, and processes of them.
//!
//! They run as an operator runs them: each a process of its own, told everything by the environment.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

/// How long a program may take until it is ready.
const START_WAIT: Duration = Duration::from_secs(30);
/// How long it may take to stop; then it is killed.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Between two looks at what it has written.
const POLL: Duration = Duration::from_millis(10);

/// Builds what this program measures with the cargo that runs it, in its own profile; gives the directory of the programs.
///
/// # Errors
/// When that fails.
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
    // What cargo says of this package: build scripts that look at it would run again, here and in the next build.
    let of_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let of_package = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(of_package));
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    of_package.for_each(|name| _ = cargo.env_remove(name));
    // This package, too: its dependencies' features are then those of the others', and nothing is built twice next time.
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
    ensure!(status.success(), "Holdfast's programs could not be built");
    Ok(directory)
}

/// A running program. Dropping it kills it.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with just these settings; what it writes goes to a file.
    ///
    /// # Errors
    /// When it does not start.
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

    /// Its process id.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until it listens, and says where.
    ///
    /// # Errors
    /// When it ends, or time runs out, before.
    pub(crate) async fn address(&mut self) -> anyhow::Result<std::net::SocketAddr> {
        let deadline = Instant::now() + START_WAIT;
        loop {
            let output = std::fs::read_to_string(&self.log)?;
            let line = output.lines().find(|line| line.contains("\"listening\""));
            if let Some((_, address)) = line.and_then(|line| line.split_once("\"address\":\"")) {
                return Ok(address.split('"').next().unwrap_or_default().parse()?);
            }
            if self.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("a program did not start; it wrote:\n{output}");
            }
            sleep(POLL).await;
        }
    }

    /// Asks it to stop, and waits until it has.
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
