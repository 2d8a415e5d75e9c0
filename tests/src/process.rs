//! Holdfast's programs as processes, as an operator runs them.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::wait::until;

/// The path of one of Holdfast's programs, built from the sources as they are now; or of those that are in the directory
/// that `HOLDFAST_PROGRAMS` names, as they are.
///
/// # Panics
/// When it can't be built.
pub fn program(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let named = || std::env::var_os("HOLDFAST_PROGRAMS").map(PathBuf::from);
    PROGRAMS
        .get_or_init(|| named().unwrap_or_else(build))
        .join(name)
}

/// `cargo test` builds the programs of other packages only by the way, so they are asked for. A test binary lies in
/// `target/<profile>/deps`, the programs above that.
fn build() -> PathBuf {
    let running = std::env::current_exe().unwrap_or_default();
    let beside = running.parent().map(Path::to_owned).unwrap_or_default();
    let profile_dir = if beside.ends_with("deps") {
        beside.join("..")
    } else {
        beside
    };
    let profile_dir = profile_dir.canonicalize().unwrap_or_default();
    let profile = match profile_dir.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target_dir = profile_dir.parent().map(Path::to_owned).unwrap_or_default();
    let status = cargo()
        .args([
            "build",
            "--workspace",
            "--bins",
            "--locked",
            "--quiet",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(target_dir)
        .args(if cfg!(feature = "otel") {
            ["--features", "otel"].as_slice()
        } else {
            &[]
        })
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "the programs could not be built"
    );
    profile_dir
}

/// The cargo that runs the tests; for a program that was started by itself, the one of the directory's toolchain.
#[must_use]
pub fn cargo() -> std::process::Command {
    let mut cargo =
        std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo says of the test's own package: build scripts that look at it would run again, here and in the next build.
    let of_package =
        |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
    let of_package = std::env::vars_os()
        .map(|(name, _)| name)
        .filter(|name| name.to_str().is_some_and(of_package));
    of_package.for_each(|name| _ = cargo.env_remove(name));
    cargo
}

/// A running program. Dropping it kills it.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts a program with just these settings; its output goes to a file.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        settings: &[(String, String)],
        log: PathBuf,
    ) -> Self {
        let open = || {
            std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(&log)
        };
        let (Ok(out), Ok(err)) = (open(), open()) else {
            panic!("can't write {}", log.display())
        };
        let child = Command::new(program)
            .args(arguments)
            // Not the developer's own settings; what programs are looked up by stays.
            .env_clear()
            .envs(std::env::vars().filter(|(name, _)| {
                ["PATH", "HOME", "PG_BIN", "NATS_BIN"].contains(&name.as_str())
            }))
            .envs(settings.iter().cloned())
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .kill_on_drop(true)
            .spawn();
        match child {
            Ok(child) => Self { child, log },
            Err(error) => panic!("{} did not start: {error}", program.display()),
        }
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match self.child.id() {
            Some(pid) => pid,
            None => panic!("the process has ended:\n{}", self.output()),
        }
    }

    /// What it has written so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line that has this text.
    ///
    /// # Panics
    /// When the process ends, or the deadline passes, without it.
    pub async fn line(&mut self, text: &str) -> String {
        until(
            &format!("{text:?} from {}", self.log.display()),
            async || {
                let output = self.output();
                if let Some(line) = output.lines().find(|line| line.contains(text)) {
                    return Some(line.to_owned());
                }
                let ended = self.child.try_wait().ok().flatten();
                assert!(
                    ended.is_none(),
                    "the process ended without {text:?}:\n{output}"
                );
                None
            },
        )
        .await
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the process has ended.
    pub fn signal(&self, signal: Signal) {
        let sent = kill(Pid::from_raw(self.pid().cast_signed()), signal);
        assert!(sent.is_ok(), "{signal} was not sent: {sent:?}");
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended, and says whether it ended well.
    ///
    /// # Panics
    /// When it does not end by the deadline.
    pub async fn ended(&mut self) -> bool {
        self.exit_status().await.success()
    }

    /// Waits until it has ended, and says how.
    ///
    /// # Panics
    /// When it does not end by the deadline.
    pub async fn exit_status(&mut self) -> ExitStatus {
        match tokio::time::timeout(crate::DEADLINE, self.child.wait()).await {
            Ok(Ok(status)) => status,
            other => panic!("the process did not end: {other:?}"),
        }
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub async fn crash(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }
}
