//! The account that Postgres runs as. Postgres refuses to run as root, so Holdfast as root starts it as an unprivileged account.
//!
//! This module must not change the ids of this process, only those of child processes before they start.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use nix::unistd::{Uid, User};

use crate::error::StackError;

/// An unprivileged account. It must be in the passwd database, because Postgres looks up the name of its account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account for Postgres. `None` when this process is not root: then Postgres runs as the same user.
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

    /// Whether the account may enter `directory` and all its ancestors. It reads the mode bits only. An ACL may make the result
    /// wrong; then Postgres prints an error of its own.
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

/// Makes `command` run as `account`. The standard library also drops the supplementary groups of root.
pub(crate) fn run_as(command: &mut Command, account: Option<Account>) {
    if let Some(Account { uid, gid }) = account {
        command.uid(uid).gid(gid);
    }
}

/// Makes `account` the owner of `path`.
pub(crate) fn change_owner(path: &Path, account: Option<Account>) -> io::Result<()> {
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
    fn directory_below_a_closed_one_cannot_be_entered() {
        let top = tempfile::tempdir().unwrap();
        let below = top.path().join("below");
        fs::create_dir(&below).unwrap();
        let other_account = Account {
            uid: 54321,
            gid: 54321,
        };

        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o700)).unwrap();
        assert!(!other_account.may_enter(&below).unwrap());
        fs::set_permissions(top.path(), fs::Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&below, fs::Permissions::from_mode(0o711)).unwrap();
        assert!(other_account.may_enter(&below).unwrap());
    }

    #[test]
    fn owner_bits_decide_for_the_owner() {
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
