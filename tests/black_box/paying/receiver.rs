//! A shop's receiver of events and refund requests. The test decides whether it fails, hangs or accepts.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The reaction to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Fail,
    Hang,
    Accept,
}

/// The requests that the receiver got. They survive its restarts, like a database.
pub(crate) struct Receiver {
    /// The reactions to the first requests. Later requests are accepted.
    pub(crate) behaviours: VecDeque<Behaviour>,
    pub(crate) hung: usize,
    pub(crate) accepted: HashMap<String, usize>,
    pub(crate) last: Option<(reqwest::header::HeaderMap, Vec<u8>)>,
}

impl Receiver {
    pub(crate) fn new(behaviours: impl IntoIterator<Item = Behaviour>) -> Arc<Mutex<Self>> {
        let behaviours = behaviours.into_iter().collect();
        Arc::new(Mutex::new(Self {
            behaviours,
            hung: 0,
            accepted: HashMap::new(),
            last: None,
        }))
    }
}

/// A running receiver. Dropping it ends its open requests.
pub(crate) struct RunningReceiver {
    pub(crate) address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for RunningReceiver {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl RunningReceiver {
    pub(crate) async fn start(address: SocketAddr, receiver: Arc<Mutex<Receiver>>) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(answer(stream, Arc::clone(&receiver)));
            }
        });
        Self { address, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/receiver", self.address)
    }
}

async fn answer(mut stream: TcpStream, receiver: Arc<Mutex<Receiver>>) {
    let Some((headers, body)) = read_request(&mut stream).await else {
        return;
    };
    let behaviour = receiver
        .lock()
        .unwrap()
        .behaviours
        .pop_front()
        .unwrap_or(Behaviour::Accept);
    let status = match behaviour {
        Behaviour::Fail => "503 Service Unavailable",
        Behaviour::Hang => {
            receiver.lock().unwrap().hung += 1;
            return std::future::pending().await;
        }
        Behaviour::Accept => {
            let mut receiver = receiver.lock().unwrap();
            let id = headers["idempotency-key"].to_str().unwrap().to_owned();
            assert_eq!(headers["webhook-id"], *id);
            *receiver.accepted.entry(id).or_default() += 1;
            receiver.last = Some((headers, body));
            "202 Accepted"
        }
    };
    let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    let _ = stream.write_all(response.as_bytes()).await;
}

/// A free port.
pub(crate) fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn read_request(stream: &mut TcpStream) -> Option<(reqwest::header::HeaderMap, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&more[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let lines = head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(": "));
        let headers: reqwest::header::HeaderMap = lines
            .map(|(name, value)| {
                (
                    name.parse::<reqwest::header::HeaderName>().unwrap(),
                    value.parse().unwrap(),
                )
            })
            .collect();
        if body.len() >= headers["content-length"].to_str().unwrap().parse().unwrap() {
            return Some((headers, body.as_bytes().to_vec()));
        }
    }
}
