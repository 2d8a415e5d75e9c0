//! Starts child processes that end with this process, and waits for them.
//!
//! On Linux each child asks the kernel for a signal when its parent ends (`PR_SET_PDEATHSIG`). That works even when the parent
//! is killed. For the kernel the parent is the *thread* that forked: a child of a runtime's worker thread would end with that
//! thread. So one thread, the spawner, starts all children and lives as long as the process. On other systems than Linux,
//! children end only when this process shuts down in an orderly way.
//!
//! Waiting is polling with a time limit. So a process belongs to no async runtime, and tests with a runtime each can share
//! one stack.
//!
//! This module must not signal a process after it was reaped: its id may belong to another process by then.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::LazyLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, getppid};
use tokio::sync::oneshot;

/// Largest number of requests that wait for the spawner. Each takes about a millisecond.
const REQUESTS_MAX: usize = 16;
/// Pause between two checks of a waiting loop.
pub(crate) const POLL: Duration = Duration::from_millis(10);
/// How much of the end of a program's output an error shows, in bytes.
const TAIL_BYTES_MAX: u64 = 4096;

struct Request {
    command: Command,
    last_signal: Signal,
    reply: oneshot::Sender<io::Result<Process>>,
}

static SPAWNER: LazyLock<io::Result<SyncSender<Request>>> = LazyLock::new(|| {
    let (sender, requests) = sync_channel(REQUESTS_MAX);
    thread::Builder::new()
        .name("spawner".into())
        .spawn(move || run_spawner(requests))?;
    Ok(sender)
});

/// The loop of the spawner. It never ends, because the sender is a static.
fn run_spawner(requests: Receiver<Request>) {
    let parent = Pid::this();
    for Request {
        mut command,
        last_signal,
        reply,
    } in requests
    {
        end_with_parent(&mut command, parent, last_signal);
        let started = command.spawn().map(|child| Process { child, last_signal });
        // When the caller does not wait any more, `send` returns the process. It is dropped here, which ends it.
        let _ = reply.send(started);
    }
}

#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command, parent: Pid, last_signal: Signal) {
    // SAFETY: between fork and exec the closure makes two system calls and never allocates.
    unsafe {
        command.pre_exec(move || {
            // This runs after the change of uid, which would clear the request.
            #[cfg(target_os = "linux")]
            nix::sys::prctl::set_pdeathsig(last_signal)?;
            // The parent ended before the request, so the signal will not come.
            if getppid() != parent {
                return Err(io::Error::from(io::ErrorKind::NotConnected));
            }
            Ok(())
        });
    }
}

/// Starts `command`.
///
/// The process gets `last_signal` when this process ends or the [`Process`] is dropped. Choose a signal that ends it at once
/// together with its own children.
pub(crate) async fn spawn(mut command: Command, last_signal: Signal) -> io::Result<Process> {
    // A separate process group: Ctrl-C in a terminal must reach Holdfast only, because Holdfast stops the servers last.
    command.process_group(0);
    let spawner = SPAWNER
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (reply, started) = oneshot::channel();
    let gone = |_| io::Error::other("the thread that starts processes has ended");
    spawner
        .send(Request {
            command,
            last_signal,
            reply,
        })
        .map_err(|_| gone(()))?;
    started.await.map_err(|_| gone(()))?
}

/// A child process. Dropping the value ends the process.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    last_signal: Signal,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The exit status, if the process has ended.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Signals the process and its group, which contains the helpers of `initdb` and pip. The backends of Postgres have groups
    /// of their own; Postgres ends them.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            // The id belongs to this process, because the process was not reaped yet.
            killpg(Pid::from_raw(self.child.id().cast_signed()), signal)?;
        }
        Ok(())
    }

    /// Waits until the process ends, at most for `limit`. Returns `None` when it still runs.
    pub(crate) async fn wait(&mut self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.ended()
            && self.signal(self.last_signal).is_ok()
        {
            // A thread reaps the process: Postgres may take a moment, and a drop must not block an async runtime.
            let pid = Pid::from_raw(self.child.id().cast_signed());
            let _ = thread::Builder::new()
                .name("reaper".into())
                .spawn(move || nix::sys::wait::waitpid(pid, None));
        }
    }
}

/// The result of [`run`].
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// The end of standard output and standard error.
    pub(crate) output: String,
}

/// Runs a program until it ends. Kills it after `limit`.
pub(crate) async fn run(
    mut command: Command,
    input: &str,
    limit: Duration,
) -> io::Result<Finished> {
    // Files instead of pipes: a full pipe would block the program, and files need no reader.
    let mut stdin = tempfile::tempfile()?;
    stdin.write_all(input.as_bytes())?;
    stdin.rewind()?;
    let mut output = tempfile::tempfile()?;
    command
        .stdin(stdin)
        .stdout(output.try_clone()?)
        .stderr(output.try_clone()?);
    let mut process = spawn(command, Signal::SIGKILL).await?;
    match process.wait(limit).await? {
        Some(status) => Ok(Finished {
            status,
            output: tail(&mut output, 0)?,
        }),
        None => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("it took longer than {limit:?}"),
        )),
    }
}

/// Sends the output of a server to its log file.
pub(crate) fn print_to(command: &mut Command, log: &File) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    Ok(())
}

/// The end of `file`, from `start` on.
pub(crate) fn tail(file: &mut File, start: u64) -> io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(
        start.max(length.saturating_sub(TAIL_BYTES_MAX)),
    ))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
