//! One Postgres and one NATS for all tests of a run, started by the code that `holdfast dev` uses.

use std::path::{Path, PathBuf};

use holdfast_stack::{Sources, Stack, StackOptions};
use tokio::sync::OnceCell;

const DIRECTORY: &str = "holdfast-tests-";

static SHARED: OnceCell<SharedStack> = OnceCell::const_new();

/// The stack of this run. It stops when this process ends.
#[derive(Debug)]
pub struct SharedStack {
    stack: Stack,
    directory: PathBuf,
}

impl SharedStack {
    /// The stack of this run; the first call starts it.
    ///
    /// # Panics
    /// When a server does not start.
    pub async fn get() -> &'static Self {
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        remove_leftovers().await;
        let directory = std::env::temp_dir().join(format!("{DIRECTORY}{}", std::process::id()));
        Self {
            stack: start_stack(&directory).await,
            directory,
        }
    }

    /// The URL of the database `holdfast`.
    #[must_use]
    pub fn database_url(&self) -> &str {
        self.stack.database_url()
    }

    /// The URL of NATS.
    #[must_use]
    pub fn nats_url(&self) -> &str {
        self.stack.nats_url()
    }

    /// The directory of tests' files. A later run removes it.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

/// Starts Postgres and NATS with their data in this directory.
///
/// # Panics
/// When a server does not start.
pub async fn start_stack(directory: &Path) -> Stack {
    // A test must not use the servers that DATABASE_URL and NATS_URL name for other work.
    let sources = Sources {
        database_url: None,
        nats_url: None,
        ..Sources::from_env()
    };
    let options = StackOptions {
        data_dir: directory.to_owned(),
        sources,
    };
    match Stack::start(options, &|line| println!("{line}")).await {
        Ok(stack) => stack,
        Err(error) => panic!("the local stack did not start: {error}"),
    }
}

/// Removes the data of earlier runs. A run can't remove its own data, because no code runs after the last test.
async fn remove_leftovers() {
    let Ok(entries) = std::fs::read_dir(std::env::temp_dir()) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let Some(pid) = name
            .strip_prefix(DIRECTORY)
            .and_then(|pid| pid.parse::<i32>().ok())
        else {
            continue;
        };
        let is_running = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_ok();
        if !is_running && let Err(error) = holdfast_stack::remove_data(&path).await {
            println!(
                "the directory {} of an earlier run could not be removed: {error}",
                path.display()
            );
        }
    }
}
