//! Starts child processes so that none outlives this process, and waits for them.
//!
//! On Linux each child asks the kernel for a signal when its parent is gone (`PR_SET_PDEATHSIG`), which works for every
//! way to end, SIGKILL included. The kernel takes "parent" to be the *thread* that forked: were a child started from a
//! worker of some runtime, it would end with that worker. So all children come from one thread that lives as long as
//! the process: the nursery. Elsewhere than on Linux children end with an orderly end of their parent only.
//!
//! Waiting is polling with a bound. That way a process belongs to no async runtime, and a test process can share a
//! stack among tests that each have a runtime of their own.
//!
//! Never signals a process that was reaped already: its number may belong to another by then.

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

/// Requests that wait for the nursery; each takes about a millisecond.
const REQUESTS_MAX: usize = 16;
/// How often a wait looks again.
pub(crate) const POLL: Duration = Duration::from_millis(10);
/// How much of the end of a program's output is shown.
const TAIL_BYTES_MAX: u64 = 4096;

struct Request {
    command: Command,
    last_signal: Signal,
    reply: oneshot::Sender<io::Result<Process>>,
}

static NURSERY: LazyLock<io::Result<SyncSender<Request>>> = LazyLock::new(|| {
    let (sender, requests) = sync_channel(REQUESTS_MAX);
    thread::Builder::new()
        .name("nursery".into())
        .spawn(move || tend(requests))?;
    Ok(sender)
});

/// The nursery's life. It never ends by itself: the sender is a static.
fn tend(requests: Receiver<Request>) {
    let parent = Pid::this();
    for Request {
        mut command,
        last_signal,
        reply,
    } in requests
    {
        end_with_parent(&mut command, parent, last_signal);
        let started = command.spawn().map(|child| Process { child, last_signal });
        // Nobody waits for the reply any more: the process comes back, is dropped, and so ends.
        let _ = reply.send(started);
    }
}

#[cfg_attr(not(target_os = "linux"), allow(unused_variables))]
#[allow(unsafe_code)]
fn end_with_parent(command: &mut Command, parent: Pid, last_signal: Signal) {
    // SAFETY: between fork and exec the closure makes two system calls and allocates nothing, on no path.
    unsafe {
        command.pre_exec(move || {
            // Runs after the change of uid, which would clear the request again.
            #[cfg(target_os = "linux")]
            nix::sys::prctl::set_pdeathsig(last_signal)?;
            // The parent was gone before the request: the signal won't come.
            if getppid() != parent {
                return Err(io::Error::from(io::ErrorKind::NotConnected));
            }
            Ok(())
        });
    }
}

/// Starts `command`, with no input unless it has one.
///
/// `last_signal` is what it gets when this process ends or the [`Process`] is dropped: one that ends it at once,
/// together with children of its own.
pub(crate) async fn spawn(mut command: Command, last_signal: Signal) -> io::Result<Process> {
    // A group of its own, so that Ctrl-C in a terminal reaches Holdfast alone, which stops the servers last.
    command.process_group(0);
    let nursery = NURSERY
        .as_ref()
        .map_err(|error| io::Error::new(error.kind(), error.to_string()))?;
    let (reply, started) = oneshot::channel();
    let gone = |_| io::Error::other("the thread that starts processes is gone");
    nursery
        .send(Request {
            command,
            last_signal,
            reply,
        })
        .map_err(|_| gone(()))?;
    started.await.map_err(|_| gone(()))?
}

/// A child process. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    last_signal: Signal,
}

impl Process {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Signals the process and its group: the helpers of `initdb` and pip belong to it. Postgres's backends don't, they
    /// are Postgres's own affair.
    pub(crate) fn signal(&mut self, signal: Signal) -> io::Result<()> {
        if self.ended()?.is_none() {
            // The number of a process that is not reaped yet fits a pid, and is not given to another.
            killpg(Pid::from_raw(self.child.id().cast_signed()), signal)?;
        }
        Ok(())
    }

    /// Waits for the end, at most for `limit`; none when it is still alive then.
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
            // Reaped beside, because Postgres may take a moment and a drop must not block an async runtime.
            let pid = Pid::from_raw(self.child.id().cast_signed());
            let _ = thread::Builder::new()
                .name("reaper".into())
                .spawn(move || nix::sys::wait::waitpid(pid, None));
        }
    }
}

/// How a program that was run to its end ended.
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    /// The end of its output and errors.
    pub(crate) output: String,
}

/// Runs a program to its end, killing it after `limit`.
pub(crate) async fn run(
    mut command: Command,
    input: &str,
    limit: Duration,
) -> io::Result<Finished> {
    // Files rather than pipes: nobody has to read along, and no amount of output blocks.
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

/// Sends what a long-lived command prints to `log`.
pub(crate) fn print_to(command: &mut Command, log: &File) -> io::Result<()> {
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log.try_clone()?);
    Ok(())
}

/// The end of `file`, but nothing before `start`.
pub(crate) fn tail(file: &mut File, start: u64) -> io::Result<String> {
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(
        start.max(length.saturating_sub(TAIL_BYTES_MAX)),
    ))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}
