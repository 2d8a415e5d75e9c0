//! `stack.json`: the addresses and process ids of a running `dev`, for scripts and `psql`.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use holdfast_stack::Stack;
use serde_json::json;

/// The file `stack.json` in the data directory.
pub(super) struct StackFile;

const NAME: &str = "stack.json";

impl StackFile {
    /// Writes the file atomically. Only its owner may read it, because it contains the database's password.
    pub(super) fn write(data_dir: &Path, stack: &Stack, address: SocketAddr) -> anyhow::Result<()> {
        let document = json!({
            "http_url": format!("http://{address}"),
            "database_url": stack.database_url(),
            "nats_url": stack.nats_url(),
            "pids": {
                "holdfast": std::process::id(),
                "postgres": stack.postgres().and_then(holdfast_stack::Postgres::pid),
                "nats": stack.nats().and_then(holdfast_stack::Nats::pid),
            },
        });
        let (path, unfinished) = (data_dir.join(NAME), data_dir.join("stack.json.new"));
        let write = || {
            fs::create_dir_all(data_dir)?;
            let mut file = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&unfinished)?;
            writeln!(file, "{document:#}")?;
            fs::rename(&unfinished, &path)
        };
        write().with_context(|| format!("can't write {}", path.display()))
    }

    /// Removes the file, because its addresses are no longer valid.
    pub(super) fn remove(data_dir: &Path) {
        if let Err(error) = fs::remove_file(data_dir.join(NAME)) {
            tracing::debug!(%error, "stack.json was not removed");
        }
    }
}
