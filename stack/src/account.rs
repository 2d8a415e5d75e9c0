//! Who Postgres runs as: it refuses root, so root's Holdfast starts it as an unprivileged account.
//!
//! Never changes the ids of this process, only those of children about to be started.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::error::StackError;

/// An unprivileged account. It is one of passwd's, because Postgres looks its own name up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for Postgres: none when this process isn't root and children simply inherit its ids.
    pub(crate) fn for_postgres() -> Result<Option<Account>, StackError> {
        if !Uid::effective().is_root() {
            return Ok(None);
        }
        for name in ["postgres", "nobody"] {
            if let Ok(Some(user)) = User::from_name(name) {
                return Ok(Some(Account {
                    uid: user.uid.as_raw(),
                    gid: user.gid.as_raw(),
                }));
            }
        }
        Err(StackError::NoAccount)
    }

    /// Whether the account may pass through `directory` and all its ancestors. Goes by the mode bits: with an ACL that
    /// says otherwise, the answer errs and Postgres's own message tells.
    pub(crate) fn may_enter(self, directory: &Path) -> io::Result<bool> {
        for ancestor in directory.canonicalize()?.ancestors() {
            let metadata = fs::metadata(ancestor)?;
            let search_bit = if metadata.uid() == self.uid {
                0o100
            } else if metadata.gid() == self.gid {
                0o010
            } else {
                0o001
            };
            if metadata.mode() & search_bit == 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Has `command` run as `account`; the standard library drops root's supplementary groups with the uid.
pub(crate) fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
}

/// Gives `path` to `account`.
pub(crate) fn give(path: &Path, account: Option<Account>) -> io::Result<()> {
    match account {
        Some(Account { uid, gid }) => chown(path, Some(uid), Some(gid)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_directory_below_a_closed_one_cannot_be_entered() {
        let top = tempfile::tempdir().unwrap();
        let below = top.path().join("below");
        fs::create_dir(&below).unwrap();
        let stranger = Account {
            uid: 54321,
            gid: 54321,
        };

        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!stranger.may_enter(&below).unwrap());
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&below, fs::Permissions::from_mode(0o711)).unwrap();
        assert!(stranger.may_enter(&below).unwrap());
    }

    #[test]
    fn the_owners_bits_count_for_the_owner() {
        let own = tempfile::tempdir().unwrap();
        fs::set_permissions(own.path(), fs::Permissions::from_mode(0o011)).unwrap();
        let metadata = fs::metadata(own.path()).unwrap();
        let owner = Account {
            uid: metadata.uid(),
            gid: metadata.gid(),
        };
        assert!(!owner.may_enter(own.path()).unwrap());
    }
}
