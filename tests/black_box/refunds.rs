//! Refund requests: asked for until they are accepted, under one id.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use holdfast_tests::{Sale, SaleBuilder, Webhook, until};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const SECRET: &str = "whsec_c2VjcmV0LWZvci1yZWZ1bmRzLWluLXRlc3Rz";

/// A shop's receiver: fails the first requests, then accepts.
#[derive(Default)]
struct Receiver {
    requests: usize,
    accepted: HashMap<String, usize>,
    last: Option<(reqwest::header::HeaderMap, Vec<u8>)>,
}

async fn receive(failures: usize) -> (String, Arc<Mutex<Receiver>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/refunds", listener.local_addr().unwrap());
    let receiver = Arc::new(Mutex::new(Receiver::default()));
    let shared = Arc::clone(&receiver);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let Some((headers, body)) = read_request(&mut stream).await else { continue };
            let status = {
                let mut receiver = shared.lock().unwrap();
                receiver.requests += 1;
                if receiver.requests <= failures {
                    "503 Service Unavailable"
                } else {
                    let id = headers["webhook-id"].to_str().unwrap().to_owned();
                    *receiver.accepted.entry(id).or_default() += 1;
                    receiver.last = Some((headers, body));
                    "202 Accepted"
                }
            };
            let response = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(response.as_bytes()).await;
        }
    });
    (url, receiver)
}

async fn read_request(stream: &mut tokio::net::TcpStream) -> Option<(reqwest::header::HeaderMap, Vec<u8>)> {
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
    let (url, receiver) = receive(3).await;
    let sale = SaleBuilder::default().setting("REFUND_URL", &url).setting("REFUND_SECRET", SECRET).start().await;
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
async fn without_a_url_refunds_stay_due() {
    let sale = Sale::start().await;
    let order = overpaid(&sale).await;
    assert_eq!(sale.client().get(&format!("/api/orders/{order}")).await.body["refund_status"], "due");
    assert_eq!(sale.count("SELECT count(*) FROM payments WHERE state = 'refund_due' AND arrival >= $1", 0).await, 1);
}
