//! The directory of a stack's data: who may use it, what lies where in it, and its removal.
//!
//! - `holdfast.lock`: held while a process uses the directory; also the sign that Holdfast made what is beside it
//! - `postgres/`: see [`crate::postgres`]. A symbolic link for root when Postgres's account couldn't get there
//! - `nats/`: see [`crate::nats`]
//!
//! Never removes or writes into what Holdfast did not make, whatever directory it is pointed at.

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
/// Where root's Postgres keeps its data when they can't be in the data directory.
const ELSEWHERE: &str = "/var/lib/holdfast";
/// A Postgres whose Holdfast was killed a moment ago may still be writing while its data are removed.
const REMOVAL_WAIT: Duration = Duration::from_secs(5);

/// A data directory in use by this process alone.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: Lock,
}

impl DataDir {
    /// Takes the directory, which is made if need be. Dropping the value gives it back.
    pub(crate) fn take(path: &Path) -> Result<DataDir, StackError> {
        let making = || format!("make the data directory {}", path.display());
        fs::create_dir_all(path).doing(making)?;
        let path = path.canonicalize().doing(making)?;
        // In this order: whoever else is just starting here makes the lock file first.
        let occupied = [POSTGRES, NATS]
            .map(|name| path.join(name))
            .into_iter()
            .find(|entry| is_there(entry));
        if let Some(entry) = occupied
            && !is_there(&path.join(LOCK))
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
        fs::create_dir_all(&home).doing(|| format!("make {}", home.display()))?;
        Ok(home)
    }

    /// The directory for Postgres, as a path that `account` can follow.
    pub(crate) fn postgres(&self, account: Option<Account>) -> Result<PathBuf, StackError> {
        let home = self.path.join(POSTGRES);
        self.make_postgres(&home, account)
            .doing(|| format!("make {}", home.display()))?;
        home.canonicalize()
            .doing(|| format!("find {}", home.display()))
    }

    fn make_postgres(&self, home: &Path, account: Option<Account>) -> io::Result<()> {
        if let Ok(target) = fs::read_link(home) {
            return fs::create_dir_all(target);
        }
        match account {
            Some(account) if !is_there(home) && !account.may_enter(&self.path)? => {
                let target = elsewhere(&self.path);
                // Without the link it belonged to a directory of this name that was removed by hand.
                if is_there(&target) {
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

/// Removes all data of the stack in `data_dir`, also what lies elsewhere, and nothing else: the directory itself and what
/// others put there stay.
///
/// # Errors
/// [`StackError::InUse`] while a process uses the directory, or when the system refuses.
pub async fn remove_data(data_dir: &Path) -> Result<(), StackError> {
    let removing = || format!("remove the data in {}", data_dir.display());
    let Some(path) = found(data_dir.canonicalize()).doing(removing)? else {
        return Ok(());
    };
    if !is_there(&path.join(LOCK)) {
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
    // Last, so that an interrupted removal can be taken up again.
    found(fs::remove_file(path.join(LOCK))).doing(removing)?;
    Ok(())
}

async fn remove_tree(path: &Path) -> io::Result<()> {
    let deadline = Instant::now() + REMOVAL_WAIT;
    loop {
        match found(fs::remove_dir_all(path)) {
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
        // Closing it would not do: a child that is being started this moment has a copy of the descriptor until its exec,
        // and the lock would stay until then. Should unlocking fail, closing is what is left.
        let _ = self.0.unlock();
    }
}

/// The lock of the data directory; none when another process has it, or when it is gone and not to be made.
fn lock(directory: &Path, make: bool) -> Result<Option<Lock>, StackError> {
    let path = directory.join(LOCK);
    let locking = || format!("lock {}", path.display());
    loop {
        let opened = File::options()
            .read(true)
            .write(true)
            .create(make)
            .truncate(false)
            .open(&path);
        let Some(file) = found(opened).doing(locking)? else {
            return Ok(None);
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(error)) => return Err(error).doing(locking),
        }
        let file = Lock(file);
        // A removal may have taken the file away between opening and locking: a lock on it would keep nobody out.
        let locked = file.0.metadata().doing(locking)?;
        match found(fs::metadata(&path)).doing(locking)? {
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

/// Whether something has that name, be it a link that leads nowhere.
fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// None for what does not exist.
fn found<T>(outcome: io::Result<T>) -> io::Result<Option<T>> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
