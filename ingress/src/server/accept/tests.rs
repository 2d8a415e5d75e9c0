//! What has to end soon is given a short time here, and all else one that no test lives to see.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::body::Body;
use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Parser;
use futures_util::stream;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::*;
use crate::http::body;

const SOON: Duration = Duration::from_millis(20);
const NEVER: Duration = Duration::from_secs(3600);
/// How long a test waits for what should come soon.
const DEADLINE: Duration = Duration::from_secs(60);
const WHOLE_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Limits as a program reads them.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    limits: LimitSettings,
}

/// A connection, and its server's end.
struct Client {
    stream: DuplexStream,
    stop: CancellationToken,
    /// A request has come to the gate.
    entered: Arc<Notify>,
    /// Lets it go on.
    gate: Arc<Notify>,
}

impl Client {
    fn new(request_read: Duration, keep_alive: Duration, is_crowded: bool) -> Self {
        let stop = CancellationToken::new();
        let (entered, gate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let at_gate = (Arc::clone(&entered), Arc::clone(&gate));
        let router = Router::new()
            .route("/", get(async || "answer"))
            .route("/slow", get(async || sleep(3 * SOON).await))
            .route(
                "/endless",
                get(async || Body::from_stream(stream::repeat(Ok::<_, Infallible>("again")))),
            )
            .route(
                "/gate",
                get(async move || {
                    at_gate.0.notify_one();
                    at_gate.1.notified().await;
                }),
            )
            .route(
                "/",
                post(async move |request| {
                    body::raw(request, body::BodyTimeout(request_read))
                        .await
                        .map(|_| StatusCode::OK)
                }),
            );
        let server = Server {
            router,
            request_read,
            keep_alive,
            reader_wait: SOON,
            stop: stop.clone(),
        };
        let (stream, served) = duplex(1024);
        let peer = SocketAddr::from(([192, 0, 2, 1], 1));
        tokio::spawn(async move { server.connection(served, peer, is_crowded).await });
        Self {
            stream,
            stop,
            entered,
            gate,
        }
    }

    async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn is_answered(&mut self) {
        self.send(WHOLE_HEAD).await;
        self.hear_answer().await;
    }

    async fn hear_answer(&mut self) {
        let mut answer = Vec::new();
        while !answer.ends_with(b"answer") {
            assert_ne!(self.stream.read_buf(&mut answer).await.unwrap(), 0);
        }
    }

    /// What comes until the server ends the connection.
    async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        let ended = timeout(DEADLINE, self.stream.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the connection is still open");
        String::from_utf8(rest).unwrap()
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_or_half_a_head_ends() {
    for half in [&b""[..], b"GET / HT", &WHOLE_HEAD[..WHOLE_HEAD.len() - 1]] {
        let mut client = Client::new(SOON, NEVER, false);
        client.send(half).await;
        assert_eq!(client.rest().await, "");
    }
}

#[tokio::test]
async fn a_head_in_drips_has_no_more_time_than_others() {
    let mut client = Client::new(2 * SOON, NEVER, false);
    client.send(b"GET / HTTP/1.1\r\nx-drip: ").await;
    let dripping = async {
        // The server's buffer has room for all drips until the deadline.
        while client.stream.write_all(b"x").await.is_ok() {
            sleep(SOON / 4).await;
        }
    };
    assert!(
        timeout(DEADLINE, dripping).await.is_ok(),
        "the connection is still open"
    );
}

#[tokio::test]
async fn an_idle_connection_ends_by_its_own_time() {
    let mut client = Client::new(NEVER, SOON, false);
    client.is_answered().await;
    assert_eq!(client.rest().await, "");
}

#[tokio::test]
async fn a_later_head_is_timed_from_its_first_byte() {
    let mut client = Client::new(SOON, NEVER, false);
    for _ in 0..2 {
        client.is_answered().await;
        // Longer than a head may take: nothing happens to who is only idle.
        sleep(3 * SOON).await;
    }
    client.send(&WHOLE_HEAD[..5]).await;
    assert_eq!(client.rest().await, "");
    let mut client = Client::new(NEVER, NEVER, false);
    client.is_answered().await;
    client.send(&WHOLE_HEAD[..5]).await;
    client.send(&WHOLE_HEAD[5..]).await;
    client.hear_answer().await;
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let mut client = Client::new(SOON, SOON, false);
    client
        .send(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await;
    assert!(client.rest().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_its_connection_ends() {
    let mut client = Client::new(SOON, NEVER, false);
    client
        .send(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
        .await;
    let text = client.rest().await;
    assert!(
        text.starts_with("HTTP/1.1 408") && text.contains("connection: close"),
        "{text}"
    );
    assert!(text.contains("request_timeout"), "{text}");
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_cut_off() {
    let mut client = Client::new(NEVER, NEVER, false);
    client
        .send(b"GET /endless HTTP/1.1\r\nhost: x\r\n\r\n")
        .await;
    let mut answer = Vec::new();
    // As long as it reads, it is served.
    while answer.len() < 100 * 1024 {
        assert_ne!(client.stream.read_buf(&mut answer).await.unwrap(), 0);
    }
    let cut_off = async {
        while client.stream.write_all(b"x").await.is_ok() {
            sleep(SOON).await;
        }
    };
    assert!(
        timeout(DEADLINE, cut_off).await.is_ok(),
        "the connection is still open"
    );
    assert!(
        client.rest().await.len() <= 1024,
        "what lay in the pipe is all that is left"
    );
}

#[tokio::test]
async fn in_a_crowd_a_connection_serves_one_request() {
    let mut client = Client::new(NEVER, NEVER, true);
    client.send(WHOLE_HEAD).await;
    let text = client.rest().await;
    assert!(
        text.ends_with("answer") && text.contains("connection: close"),
        "{text}"
    );
}

#[tokio::test]
async fn stop_closes_idle_connections_and_finishes_responses() {
    let [mut fresh, mut idle, mut busy] = [(); 3].map(|()| Client::new(NEVER, NEVER, false));
    idle.is_answered().await;
    busy.send(b"GET /gate HTTP/1.1\r\nhost: x\r\n\r\n").await;
    busy.entered.notified().await;
    for client in [&fresh, &idle, &busy] {
        client.stop.cancel();
    }
    assert_eq!(
        (fresh.rest().await, idle.rest().await),
        (String::new(), String::new())
    );
    busy.gate.notify_one();
    assert!(busy.rest().await.starts_with("HTTP/1.1 200"));
}

#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
    served: AtomicUsize,
}

#[tokio::test]
async fn connections_over_the_limit_wait() {
    /// More than could wait to be accepted if nothing was said.
    const CLIENTS: usize = 400;
    let (inside, gate) = (Arc::new(Inside::default()), Arc::new(Semaphore::new(0)));
    let handler = {
        let (inside, gate) = (Arc::clone(&inside), Arc::clone(&gate));
        async move || {
            inside
                .most
                .fetch_max(inside.now.fetch_add(1, Relaxed) + 1, Relaxed);
            gate.acquire().await.unwrap().forget();
            inside.now.fetch_sub(1, Relaxed);
            inside.served.fetch_add(1, Relaxed);
        }
    };
    let limits = Program::parse_from(["test", "--connections-max", "16"]).limits;
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (socket.local_addr().unwrap(), CancellationToken::new());
    let serving = tokio::spawn({
        let (router, stop) = (Router::new().route("/", get(handler)), stop.clone());
        async move { serve(socket, router, &limits, stop).await }
    });
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(address).await.unwrap();
        client
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        clients.push(client);
    }
    for served in 0..CLIENTS {
        while inside.now.load(Relaxed) < 16.min(CLIENTS - served) {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1);
        while inside.served.load(Relaxed) <= served {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(inside.most.load(Relaxed), 16);
    stop.cancel();
    serving.await.unwrap();
}
