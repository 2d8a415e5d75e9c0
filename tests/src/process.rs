//! Builds Holdfast's programs, and runs them as processes.

use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::wait::until;

/// The path of one of Holdfast's programs. The programs are built from the present sources; if `HOLDFAST_PROGRAMS` names a
/// directory, its programs are used instead.
///
/// # Panics
/// When the build fails.
pub fn program(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let prebuilt = || std::env::var_os("HOLDFAST_PROGRAMS").map(PathBuf::from);
    PROGRAMS
        .get_or_init(|| prebuilt().unwrap_or_else(build))
        .join(name)
}

/// Builds all programs, because `cargo test -p` does not build those of other packages. A test binary is in
/// `target/<profile>/deps`, and the programs are one directory above.
fn build() -> PathBuf {
    let running = std::env::current_exe().unwrap_or_default();
    let own_dir = running.parent().map(Path::to_owned).unwrap_or_default();
    let profile_dir = if own_dir.ends_with("deps") {
        own_dir.join("..")
    } else {
        own_dir
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
        "the build of Holdfast's programs failed"
    );
    profile_dir
}

/// The cargo that runs the tests. Without one, cargo of the directory's toolchain.
#[must_use]
pub fn cargo() -> std::process::Command {
    let mut cargo =
        std::process::Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // Cargo sets these variables for the test's package. Build scripts that read them would run again, in this build and in
    // the next.
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
    /// Starts a program with only these settings; its output is appended to the log file.
    ///
    /// # Panics
    /// When the program does not start.
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
            // The developer's settings are removed, except those that locate programs.
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

    /// The process id.
    ///
    /// # Panics
    /// When the process has ended.
    #[must_use]
    pub fn pid(&self) -> u32 {
        match self.child.id() {
            Some(pid) => pid,
            None => panic!("the process has ended:\n{}", self.output()),
        }
    }

    /// The output so far.
    #[must_use]
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for a line of output that contains this text.
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

    /// The exit status, if the process has ended.
    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until the process has ended; returns whether it succeeded.
    ///
    /// # Panics
    /// When the process does not end by the deadline.
    pub async fn ended(&mut self) -> bool {
        self.exit_status().await.success()
    }

    /// Waits until the process has ended; returns its exit status.
    ///
    /// # Panics
    /// When the process does not end by the deadline.
    pub async fn exit_status(&mut self) -> ExitStatus {
        match tokio::time::timeout(crate::DEADLINE, self.child.wait()).await {
            Ok(Ok(status)) => status,
            other => panic!("the process did not end: {other:?}"),
        }
    }

    /// Kills the process with SIGKILL, and waits until it has ended.
    pub async fn crash(mut self) {
        self.signal(Signal::SIGKILL);
        self.ended().await;
    }
}
