//! Room for connections: each is an open file, and many systems let a process have 1,024 unless it asks for more.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// What is open besides connections: logs, Postgres, NATS, and what the runtime needs.
const OTHER_FILES_MAX: u64 = 256;

/// Asks for as many open files as connections need. Without them more connections wait to be accepted.
pub fn make_room(connections_max: u32) {
    let needed = u64::from(connections_max) + OTHER_FILES_MAX;
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        let wanted = needed.min(hard);
        if soft < wanted {
            setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).map(|()| wanted)
        } else {
            Ok(soft)
        }
    });
    match raised {
        Ok(files) if files < needed => {
            tracing::warn!(
                files,
                needed,
                "CONNECTIONS_MAX can't be reached: raise the limit of open files (ulimit -n)"
            );
        }
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files is unknown"),
    }
}
