//! The data directory of a stack: its lock, its layout and its removal.
//!
//! - `holdfast.lock`: locked while a process uses the directory. Its presence shows that Holdfast created the other entries
//! - `postgres/`: see [`crate::postgres`]. A symbolic link when Holdfast runs as root and Postgres's account can't enter it
//! - `nats/`: see [`crate::nats`]
//!
//! This module must not remove or change entries that Holdfast did not create.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::account::Account;
use crate::child_process::POLL;
use crate::error::{Doing, StackError};

const LOCK: &str = "holdfast.lock";
const POSTGRES: &str = "postgres";
const NATS: &str = "nats";
/// Parent of Postgres's data when Holdfast runs as root and Postgres's account can't enter the data directory.
const ELSEWHERE: &str = "/var/lib/holdfast";
/// How long removal is retried. A Postgres whose Holdfast was just killed may still write to the data.
const REMOVAL_WAIT: Duration = Duration::from_secs(5);

/// A data directory that this process has locked.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Lock,
}

impl DataDir {
    /// Creates the directory if needed, and locks it. Dropping the value unlocks it.
    pub(crate) fn take(path: &Path) -> Result<DataDir, StackError> {
        let making = || format!("create the data directory {}", path.display());
        fs::create_dir_all(path).doing(making)?;
        let path = path.canonicalize().doing(making)?;
        // The lock file is checked last, because a process that starts at the same time creates it first.
        let occupied = [POSTGRES, NATS]
            .map(|name| path.join(name))
            .into_iter()
            .find(|entry| exists(entry));
        if let Some(entry) = occupied
            && !exists(&path.join(LOCK))
        {
            return Err(StackError::Foreign { path: entry });
        }
        match lock(&path, true)? {
            Some(lock) => Ok(DataDir { path, _lock: lock }),
            None => Err(StackError::InUse { directory: path }),
        }
    }

    /// The directory for NATS.
    pub(crate) fn nats(&self) -> Result<PathBuf, StackError> {
        let home = self.path.join(NATS);
        fs::create_dir_all(&home).doing(|| format!("create {}", home.display()))?;
        Ok(home)
    }

    /// The directory for Postgres, as a path that `account` can enter.
    pub(crate) fn postgres(&self, account: Option<Account>) -> Result<PathBuf, StackError> {
        let home = self.path.join(POSTGRES);
        self.create_postgres(&home, account)
            .doing(|| format!("create {}", home.display()))?;
        home.canonicalize()
            .doing(|| format!("find {}", home.display()))
    }

    fn create_postgres(&self, home: &Path, account: Option<Account>) -> io::Result<()> {
        if let Ok(target) = fs::read_link(home) {
            return fs::create_dir_all(target);
        }
        match account {
            Some(account) if !exists(home) && !account.may_enter(&self.path)? => {
                let target = elsewhere(&self.path);
                // Without a link to it, the target belonged to a data directory that was removed by hand.
                if exists(&target) {
                    fs::remove_dir_all(&target)?;
                }
                fs::create_dir_all(&target)?;
                fs::set_permissions(ELSEWHERE, fs::Permissions::from_mode(0o755))?;
                symlink(target, home)
            }
            _ => fs::create_dir_all(home),
        }
    }
}

/// Removes all data of the stack in `data_dir`, including Postgres's data when it is elsewhere. The directory itself and files
/// of others stay.
///
/// # Errors
/// [`StackError::InUse`] while a process uses the directory; [`StackError::Io`] when a file can't be removed.
pub async fn remove_data(data_dir: &Path) -> Result<(), StackError> {
    let removing = || format!("remove the data in {}", data_dir.display());
    let Some(path) = if_found(data_dir.canonicalize()).doing(removing)? else {
        return Ok(());
    };
    if !exists(&path.join(LOCK)) {
        return Ok(());
    }
    let Some(_lock) = lock(&path, false)? else {
        return Err(StackError::InUse { directory: path });
    };

    let postgres = path.join(POSTGRES);
    if let Ok(target) = fs::read_link(&postgres) {
        if target.parent() != Some(Path::new(ELSEWHERE)) {
            return Err(StackError::Foreign { path: postgres });
        }
        remove_tree(&target).await.doing(removing)?;
        fs::remove_file(&postgres).doing(removing)?;
    }
    remove_tree(&postgres).await.doing(removing)?;
    remove_tree(&path.join(NATS)).await.doing(removing)?;
    // The lock file is removed last, so that an interrupted removal can be repeated.
    if_found(fs::remove_file(path.join(LOCK))).doing(removing)?;
    Ok(())
}

async fn remove_tree(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + REMOVAL_WAIT;
    loop {
        match if_found(fs::remove_dir_all(path)) {
            Err(error)
                if error.kind() == ErrorKind::DirectoryNotEmpty && Instant::now() < deadline =>
            {
                tokio::time::sleep(POLL).await;
            }
            outcome => return outcome.map(|_| ()),
        }
    }
}

/// The locked lock file.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file is not enough: a child that is just starting has a copy of the descriptor until its exec, and the
        // copy would keep the lock. If unlocking fails, the file is closed anyway.
        let _ = self.0.unlock();
    }
}

/// Locks the data directory. Returns `None` when another process has the lock, or when the lock file does not exist and
/// `create` is false.
fn lock(directory: &Path, create: bool) -> Result<Option<Lock>, StackError> {
    let path = directory.join(LOCK);
    let locking = || format!("lock {}", path.display());
    loop {
        let opened = File::options()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .open(&path);
        let Some(file) = if_found(opened).doing(locking)? else {
            return Ok(None);
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).doing(locking),
        }
        let file = Lock(file);
        // A removal may have deleted the file after it was opened here. A lock on a deleted file protects nothing: try again.
        let locked = file.0.metadata().doing(locking)?;
        match if_found(fs::metadata(&path)).doing(locking)? {
            Some(current) if (current.dev(), current.ino()) == (locked.dev(), locked.ino()) => {
                return Ok(Some(file));
            }
            _ => {}
        }
    }
}

fn elsewhere(data_dir: &Path) -> PathBuf {
    let digest = Sha256::digest(data_dir.as_os_str().as_encoded_bytes());
    Path::new(ELSEWHERE).join(hex::encode(&digest[..16]))
}

/// Whether the path exists. A broken link counts as existing.
fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Turns the error "not found" into `None`.
fn if_found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
