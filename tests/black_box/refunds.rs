//! Refund requests: asked for until they are accepted, under one id.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use holdfast_tests::{Sale, SaleBuilder, Webhook, assert_invariants, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

const SECRET: &str = "whsec_c2VjcmV0LWZvci1yZWZ1bmRzLWluLXRlc3Rz";

/// What a shop's receiver does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behaviour {
    Fail,
    Hang,
    Accept,
}

/// What a shop's receiver has seen. It outlives the receiver's restarts, as its database would.
struct Receiver {
    /// What comes first; afterwards it accepts.
    behaviours: VecDeque<Behaviour>,
    hung: usize,
    accepted: HashMap<String, usize>,
    last: Option<(reqwest::header::HeaderMap, Vec<u8>)>,
}

impl Receiver {
    fn new(behaviours: impl IntoIterator<Item = Behaviour>) -> Arc<Mutex<Self>> {
        let behaviours = behaviours.into_iter().collect();
        Arc::new(Mutex::new(Self { behaviours, hung: 0, accepted: HashMap::new(), last: None }))
    }
}

/// A receiver that listens; what it was in the middle of ends when it is dropped.
struct Listening {
    address: SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    async fn start(address: SocketAddr, receiver: Arc<Mutex<Receiver>>) -> Self {
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

    fn url(&self) -> String {
        format!("http://{}/refunds", self.address)
    }
}

async fn answer(mut stream: TcpStream, receiver: Arc<Mutex<Receiver>>) {
    let Some((headers, body)) = read_request(&mut stream).await else { return };
    let behaviour = receiver.lock().unwrap().behaviours.pop_front().unwrap_or(Behaviour::Accept);
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

/// A port of the OS's choice.
fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn read_request(stream: &mut TcpStream) -> Option<(reqwest::header::HeaderMap, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let read = stream.read(&mut more).await.ok().filter(|read| *read > 0)?;
        bytes.extend_from_slice(&more[..read]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
        let headers: reqwest::header::HeaderMap = lines
            .map(|(name, value)| (name.parse::<reqwest::header::HeaderName>().unwrap(), value.parse().unwrap()))
            .collect();
        if body.len() >= headers["content-length"].to_str().unwrap().parse().unwrap() {
            return Some((headers, body.as_bytes().to_vec()));
        }
    }
}

async fn overpaid(sale: &Sale) -> String {
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    Webhook::new("k1", &order, "pay_1", "succeeded").send(sale.client()).await;
    Webhook::new("k2", &order, "pay_2", "succeeded").with("amount_minor", json!(9999)).send(sale.client()).await;
    order
}

#[tokio::test]
async fn a_refund_is_asked_for_until_it_is_accepted_under_one_id() {
    let receiver = Receiver::new([Behaviour::Fail; 2]);
    let listening = Listening::start(any_port(), Arc::clone(&receiver)).await;
    let sale =
        SaleBuilder::default().setting("REFUND_URL", &listening.url()).setting("REFUND_SECRET", SECRET).start().await;
    let order = overpaid(&sale).await;
    until("the refund to be requested", async || {
        let shown = sale.client().get(&format!("/api/orders/{order}")).await.body;
        (shown["refund_status"] == "requested").then_some(())
    })
    .await;
    let receiver = receiver.lock().unwrap();
    assert_eq!(receiver.accepted.values().collect::<Vec<_>>(), [&1], "one id, accepted once");
    let (headers, body) = receiver.last.as_ref().unwrap();
    let signed = standardwebhooks::Webhook::new(SECRET).unwrap().verify(body, headers);
    assert!(signed.is_ok(), "{signed:?}");
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!((&body["payment_id"], &body["amount_minor"]), (&json!("pay_2"), &json!(9999)));
    assert_eq!((&body["order_id"], &body["reason"]), (&json!(order), &json!("already_paid")));
}

#[tokio::test]
async fn a_receiver_that_fails_hangs_and_restarts_accepts_each_refund_once() {
    let behaviours = [&[Behaviour::Fail; 5][..], &[Behaviour::Hang], &[Behaviour::Fail; 2]].concat();
    let receiver = Receiver::new(behaviours);
    let listening = Listening::start(any_port(), Arc::clone(&receiver)).await;
    let mut sale =
        SaleBuilder::default().setting("REFUND_URL", &listening.url()).setting("REFUND_SECRET", SECRET).start().await;
    let product = sale.product(10).await;
    for number in 0..3 {
        let order = sale.order(product, 1).await;
        for payment in ["pay_1", "pay_2"] {
            let key = format!("{number}-{payment}");
            let answer = Webhook::new(&key, &order, payment, "succeeded").send(sale.client()).await;
            assert!(answer.status.is_success(), "{answer:?}");
        }
    }
    until("the receiver to hang", async || (receiver.lock().unwrap().hung == 1).then_some(())).await;
    // Both sides are restarted in the middle; the receiver keeps what it has accepted.
    let address = listening.address;
    drop(listening);
    sale.workers.remove(0).crash().await;
    let _listening = Listening::start(address, Arc::clone(&receiver)).await;
    sale.start_worker().await;
    let requested = "SELECT count(*) FROM payments JOIN orders USING (slot, order_id)
                     WHERE payments.state = 'refund_requested' AND product_id = $1";
    until("every refund to be requested", async || (sale.count(requested, product).await == 3).then_some(())).await;
    let accepted = receiver.lock().unwrap().accepted.clone();
    assert_eq!(accepted.values().collect::<Vec<_>>(), [&1; 3], "three ids, each accepted once");
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn without_a_url_refunds_stay_due() {
    let sale = Sale::start().await;
    let order = overpaid(&sale).await;
    assert_eq!(sale.client().get(&format!("/api/orders/{order}")).await.body["refund_status"], "due");
    assert_eq!(sale.count("SELECT count(*) FROM payments WHERE state = 'refund_due' AND arrival >= $1", 0).await, 1);
}
