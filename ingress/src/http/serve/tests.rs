//! Time stands still in these tests, and jumps whenever everybody waits.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use axum::http::StatusCode;
use axum::routing::{get, post};
use clap::Parser;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;
use crate::http::body;

const REQUEST_READ: Duration = Duration::from_secs(10);
const KEEP_ALIVE: Duration = Duration::from_secs(75);
const WHOLE_HEAD: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

/// Limits as a program reads them.
#[derive(Parser)]
struct Program {
    #[command(flatten)]
    limits: LimitSettings,
}

fn client_of(is_crowded: bool) -> (DuplexStream, CancellationToken) {
    let router = Router::new()
        .route("/", get(async || "answer"))
        .route("/slow", get(async || tokio::time::sleep(10 * KEEP_ALIVE).await))
        .route("/", post(async |request| body::raw(request, REQUEST_READ).await.map(|_| StatusCode::OK)));
    let stop = CancellationToken::new();
    let server = Server { router, request_read: REQUEST_READ, keep_alive: KEEP_ALIVE, stop: stop.clone() };
    let (client, stream) = duplex(1024);
    let peer = SocketAddr::from(([192, 0, 2, 1], 1));
    tokio::spawn(async move { server.connection(stream, peer, is_crowded).await });
    (client, stop)
}

fn client() -> DuplexStream {
    client_of(false).0
}

/// What comes until the server ends the connection, and when that is.
async fn rest(client: &mut DuplexStream) -> (String, Duration) {
    let begun = Instant::now();
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    (String::from_utf8(rest).unwrap(), begun.elapsed())
}

async fn answer(client: &mut DuplexStream) {
    let mut answer = Vec::new();
    while !answer.ends_with(b"answer") {
        assert_ne!(client.read_buf(&mut answer).await.unwrap(), 0);
    }
}

/// Timers have a grain of a millisecond.
fn is_about(time: Duration, expected: Duration) -> bool {
    time >= expected && time < expected + Duration::from_millis(10)
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_or_half_a_head_ends() {
    for half in [&b""[..], b"GET / HT", &WHOLE_HEAD[..WHOLE_HEAD.len() - 1]] {
        let mut client = client();
        client.write_all(half).await.unwrap();
        let (text, time) = rest(&mut client).await;
        assert!(text.is_empty() && is_about(time, REQUEST_READ), "{text:?} after {time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_in_drips_has_no_more_time_than_others() {
    let mut client = client();
    let begun = Instant::now();
    for byte in b"GET / HTTP/1.1\r\nx-drip: drip-drip-drip-drip-drip" {
        let _ = client.write_all(&[*byte]).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    assert!(client.write_all(b"\r\n\r\n").await.is_err());
    assert_eq!(rest(&mut client).await.0, "");
    assert!(begun.elapsed() > REQUEST_READ);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_later_and_its_next_head_is_timed_from_its_first_byte() {
    let mut client = client();
    for _ in 0..3 {
        client.write_all(WHOLE_HEAD).await.unwrap();
        answer(&mut client).await;
        tokio::time::sleep(KEEP_ALIVE - REQUEST_READ).await;
    }
    client.write_all(&WHOLE_HEAD[..5]).await.unwrap();
    tokio::time::sleep(REQUEST_READ / 2).await;
    client.write_all(&WHOLE_HEAD[5..]).await.unwrap();
    answer(&mut client).await;
    let (text, time) = rest(&mut client).await;
    assert!(text.is_empty() && is_about(time, KEEP_ALIVE), "{text:?} after {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_is_waited_for() {
    let mut client = client();
    client.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let (text, time) = rest(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 200") && is_about(time, 10 * KEEP_ALIVE), "{text:?} after {time:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_answered_408_and_its_connection_ends() {
    let mut client = client();
    client.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{").await.unwrap();
    let (text, time) = rest(&mut client).await;
    assert!(text.starts_with("HTTP/1.1 408") && text.contains("connection: close"), "{text}");
    assert!(text.contains("request_timeout") && is_about(time, REQUEST_READ), "{text} after {time:?}");
}

#[tokio::test(start_paused = true)]
async fn in_a_crowd_a_connection_serves_one_request() {
    let (mut client, _stop) = client_of(true);
    client.write_all(WHOLE_HEAD).await.unwrap();
    let (text, time) = rest(&mut client).await;
    assert!(text.ends_with("answer") && text.contains("connection: close") && time < REQUEST_READ, "{text:?}");
}

#[tokio::test(start_paused = true)]
async fn on_stop_idle_connections_end_at_once_and_answers_are_finished() {
    let (mut fresh, stop_fresh) = client_of(false);
    let (mut idle, stop_idle) = client_of(false);
    let (mut busy, stop_busy) = client_of(false);
    idle.write_all(WHOLE_HEAD).await.unwrap();
    answer(&mut idle).await;
    busy.write_all(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    // Everybody else has come as far as they can.
    tokio::time::sleep(Duration::from_secs(1)).await;
    [stop_fresh, stop_idle, stop_busy].iter().for_each(CancellationToken::cancel);
    for client in [&mut fresh, &mut idle] {
        assert_eq!(rest(client).await, (String::new(), Duration::ZERO));
    }
    assert!(rest(&mut busy).await.0.starts_with("HTTP/1.1 200"));
}

#[derive(Default)]
struct Inside {
    now: AtomicUsize,
    most: AtomicUsize,
    served: AtomicUsize,
}

#[tokio::test]
async fn no_more_connections_are_served_than_there_are_places() {
    const CLIENTS: usize = 24;
    let (inside, gate) = (Arc::new(Inside::default()), Arc::new(Semaphore::new(0)));
    let handler = {
        let (inside, gate) = (Arc::clone(&inside), Arc::clone(&gate));
        async move || {
            inside.most.fetch_max(inside.now.fetch_add(1, Relaxed) + 1, Relaxed);
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
        client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
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
