//! Helpers of the tests: directories, waiting, and small clients for Postgres and NATS.

#![allow(dead_code, reason = "each test program uses a part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use holdfast_stack::{Stack, StackOptions};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

const WAIT: Duration = Duration::from_secs(20);

pub(crate) fn quiet(_: &str) {}

/// A directory that every account may enter, because Postgres's account must enter it.
pub(crate) fn open_dir() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

/// Starts a stack in `data_dir`. URLs of servers in the environment are ignored.
pub(crate) async fn start(data_dir: &Path) -> Stack {
    let mut options = StackOptions::new(data_dir);
    options.sources.database_url = None;
    options.sources.nats_url = None;
    // A task requires that the future is `Send`.
    tokio::spawn(Stack::start(options, &quiet))
        .await
        .unwrap()
        .unwrap()
}

/// Polls until `condition` holds.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + WAIT;
    while !condition() {
        assert!(Instant::now() < deadline, "not within {WAIT:?}: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process has ended. It may still wait to be reaped.
pub(crate) fn ended(pid: u32) -> bool {
    status(pid).is_none_or(|(state, _)| state == "Z")
}

/// The running child processes of `pid`.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    processes
        .filter(|&process| status(process).is_some_and(|(_, parent)| parent == pid))
        .collect()
}

/// State and parent of a process, from `/proc/<pid>/stat`: `pid (name) state parent …`.
fn status(pid: u32) -> Option<(String, u32)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut words = text.rsplit_once(')')?.1.split_whitespace();
    Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
}

/// `host:port` and password of a URL.
fn parts(url: &str) -> (&str, &str) {
    let rest = url.split_once("://").unwrap().1;
    let (user, rest) = rest.split_once('@').unwrap_or(("", rest));
    (
        rest.split('/').next().unwrap(),
        user.split_once(':').map_or("", |(_, password)| password),
    )
}

pub(crate) fn password(url: &str) -> String {
    parts(url).1.to_owned()
}

/// Whether Postgres requests the password of a client (SASL). While it starts, it sends an error instead.
pub(crate) async fn accepts_connections(url: &str) -> bool {
    // A refused or closed connection counts as no.
    asks_for_password(parts(url).0).await.unwrap_or(false)
}

async fn asks_for_password(address: &str) -> std::io::Result<bool> {
    const PROTOCOL_3_0: u32 = 196_608;
    const AUTHENTICATION_SASL: u32 = 10;
    let mut stream = TcpStream::connect(address).await?;
    let parameters = b"user\0holdfast\0database\0holdfast\0\0";
    stream.write_u32(8 + parameters.len() as u32).await?;
    stream.write_u32(PROTOCOL_3_0).await?;
    stream.write_all(parameters).await?;
    let kind = stream.read_u8().await?;
    let _length = stream.read_u32().await?;
    Ok(kind == b'R' && stream.read_u32().await? == AUTHENTICATION_SASL)
}

/// JetStream's response to a request.
pub(crate) async fn jetstream(url: &str, request: &str, payload: &str) -> String {
    let mut stream = BufReader::new(TcpStream::connect(parts(url).0).await.unwrap());
    let sent = format!(
        "CONNECT {{\"verbose\":false}}\r\nSUB response 1\r\nPUB $JS.API.{request} response {}\r\n{payload}\r\n",
        payload.len()
    );
    stream.write_all(sent.as_bytes()).await.unwrap();
    let response = async {
        let mut line = String::new();
        while !line.starts_with("MSG ") {
            line.clear();
            assert_ne!(
                stream.read_line(&mut line).await.unwrap(),
                0,
                "NATS closed the connection"
            );
        }
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        line
    };
    tokio::time::timeout(WAIT, response)
        .await
        .expect("JetStream responds")
}
