//! The shop's receiver of refund requests. It accepts, refuses, or accepts and closes the connection without a response.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The longest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024;
/// How long a request may take to arrive.
const READ_WAIT: Duration = Duration::from_secs(10);
/// Of this number of requests, one is refused and one is accepted without a response, on average.
const ONE_FAILS_OF: u32 = 8;
const REFUSE: u32 = 0;
const ACCEPT_WITHOUT_RESPONSE: u32 = 1;

/// A received refund request.
#[derive(Clone, Debug)]
pub struct RefundRequest {
    /// The idempotency key.
    pub id: String,
    pub body: String,
    /// Whether the shop accepted it, even if it sent no response.
    pub is_accepted: bool,
}

type Requests = Arc<Mutex<Vec<RefundRequest>>>;

/// A running receiver. Dropping it stops it.
#[derive(Debug)]
pub struct RefundReceiver {
    pub url: String,
    requests: Requests,
    is_calm: Arc<AtomicBool>,
    accepting: JoinHandle<()>,
}

impl RefundReceiver {
    /// Listens on a free port. The seed determines which requests fail.
    ///
    /// # Errors
    /// When no port is free.
    pub async fn start(seed: u64) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/refunds", listener.local_addr()?);
        let requests = Requests::default();
        let is_calm = Arc::new(AtomicBool::new(false));
        let (shared, calm) = (Arc::clone(&requests), Arc::clone(&is_calm));
        let mut rng = StdRng::seed_from_u64(seed);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let draw = if calm.load(Ordering::Relaxed) {
                    ONE_FAILS_OF
                } else {
                    rng.random_range(0..ONE_FAILS_OF)
                };
                tokio::spawn(receive(stream, draw, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            url,
            requests,
            is_calm,
            accepting,
        })
    }

    /// Accepts every request from now on. The worker's pause grows with each failure, and the run waits for all refunds.
    pub fn calm(&self) {
        self.is_calm.store(true, Ordering::Relaxed);
    }

    /// The requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<RefundRequest> {
        lock(&self.requests).clone()
    }
}

impl Drop for RefundReceiver {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock(requests: &Requests) -> MutexGuard<'_, Vec<RefundRequest>> {
    requests.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn receive(mut stream: TcpStream, draw: u32, requests: Requests) {
    let Ok(Some((id, body))) = timeout(READ_WAIT, read_request(&mut stream)).await else {
        return;
    };
    let is_accepted = draw != REFUSE;
    lock(&requests).push(RefundRequest {
        id,
        body,
        is_accepted,
    });
    if draw == ACCEPT_WITHOUT_RESPONSE {
        return;
    }
    let status = if is_accepted {
        "202 Accepted"
    } else {
        "503 Service Unavailable"
    };
    let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    // An error is ignored: the worker may have been killed.
    let _ = stream.write_all(response.as_bytes()).await;
}

/// The idempotency key and the body of a request.
async fn read_request(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while bytes.len() < REQUEST_BYTES_MAX {
        let read = stream
            .read(&mut chunk)
            .await
            .ok()
            .filter(|read| *read > 0)?;
        bytes.extend_from_slice(&chunk[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let header = |name: &str| {
            let mut lines = head.lines().filter_map(|line| line.split_once(": "));
            lines
                .find(|(found, _)| found.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_owned())
        };
        let length: usize = header("content-length")?.parse().ok()?;
        if body.len() >= length {
            return Some((
                header("idempotency-key").unwrap_or_default(),
                body.to_owned(),
            ));
        }
    }
    None
}
