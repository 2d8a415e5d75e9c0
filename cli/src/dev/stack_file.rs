//! `stack.json`: where everything of a running `dev` is, for whoever wants to look inside.

use std::fs;
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use holdfast_stack::Stack;
use serde_json::json;

/// The file in the data directory.
pub(super) struct StackFile;

const NAME: &str = "stack.json";

impl StackFile {
    /// Writes it, whole or not at all. It has the database's password, so only its owner may read it.
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

    /// Removes it: what it names is gone.
    pub(super) fn remove(data_dir: &Path) {
        if let Err(error) = fs::remove_file(data_dir.join(NAME)) {
            tracing::debug!(%error, "there was no stack.json to remove");
        }
    }
}
