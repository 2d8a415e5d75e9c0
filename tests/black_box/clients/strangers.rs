//! Test of randomly damaged requests, made from a corpus of valid ones. None gets a server error, and none leaves rows that
//! a valid request would not leave.

use futures_util::{StreamExt, stream};
use holdfast_tests::{ADMIN_TOKEN, Answer, Sale, WEBHOOK_SECRET, Webhook, assert_invariants};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use reqwest::header::HeaderValue;
use reqwest::{Method, StatusCode};

const REQUESTS: usize = 3000;
const CONNECTIONS: usize = 16;
const BENDS_MAX: usize = 3;

/// Pieces of text that parsers often handle wrongly.
const TOKENS: &[&str] = &[
    "\"",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "null",
    "-1",
    "0",
    "1e308",
    "9223372036854775808",
    "18446744073709551616",
    "\\u0000",
    "\\ud800",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "é",
    "🛒",
    "%00",
    "..",
    "//",
    "?",
    "&",
    "=",
    ";",
    "wait=",
    "wait=-1",
    "wait=99999999999999999999",
    "respond-async",
    "t=",
    "v1=",
    "v1,",
    "sha256=",
    "whsec_",
    "order_",
    "true",
    "\r",
    "\n",
    " ",
];

#[derive(Clone, Debug)]
struct DamagedRequest {
    method: Method,
    path: String,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

fn corpus(product: i64, hold: &str) -> Vec<DamagedRequest> {
    let request = |method: Method, path: &str, headers: &[(&'static str, &str)], body: &str| {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, value.as_bytes().to_vec()));
        let json = ("content-type", b"application/json".to_vec());
        DamagedRequest {
            method,
            path: path.to_owned(),
            headers: headers.chain([json]).collect(),
            body: body.as_bytes().to_vec(),
        }
    };
    let admin = format!("Bearer {ADMIN_TOKEN}");
    let admin = [("authorization", admin.as_str())];
    let paid = Webhook::new("fuzz", hold, "pay_1", "succeeded");
    let signed = paid.headers(WEBHOOK_SECRET, 0);
    let signed: Vec<_> = signed
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let stripe = [(
        "stripe-signature",
        "t=1700000000,v1=5257a869e7ecebeda32affa62cdca3fa51cad7e77a0e56ff536d0ce8e108d8bd",
    )];
    let hex = [
        (
            "x-webhook-signature",
            "sha256=5257a869e7ecebeda32affa62cdca3fa",
        ),
        ("x-idempotency-key", "k"),
    ];
    let buy = format!(r#"{{"product_id":{product},"quantity":1,"customer_id":"c-1"}}"#);
    let order = format!(r#"{{"hold_id":"{hold}"}}"#);
    let new = r#"{"name":"Lamp","price_minor":1,"currency":"USD","total_stock":5,"max_per_customer":2,"sale_starts_at":"2026-01-01T00:00:00Z"}"#;
    vec![
        request(
            Method::POST,
            "/api/holds",
            &[
                ("prefer", "respond-async, wait=2"),
                ("idempotency-key", "k-1"),
            ],
            &buy,
        ),
        request(Method::POST, "/api/holds", &[("prefer", "wait=0")], &buy),
        request(
            Method::POST,
            "/api/orders",
            &[("idempotency-key", "k-2")],
            &order,
        ),
        request(Method::GET, &format!("/api/holds/{hold}"), &[], ""),
        request(Method::DELETE, &format!("/api/holds/{hold}"), &[], ""),
        request(Method::GET, &format!("/api/orders/order_{hold}"), &[], ""),
        request(Method::GET, &format!("/api/requests/{hold}?seq=3"), &[], ""),
        request(
            Method::GET,
            &format!("/api/products/{product}"),
            &[("if-none-match", "W/\"1\", \"2\"")],
            "",
        ),
        request(Method::GET, "/api/products?after=1&limit=2", &[], ""),
        request(
            Method::POST,
            "/api/payments/webhook",
            &signed,
            &paid.body.to_string(),
        ),
        request(
            Method::POST,
            "/api/payments/webhook",
            &stripe,
            &paid.body.to_string(),
        ),
        request(
            Method::POST,
            "/api/payments/webhook",
            &hex,
            &paid.body.to_string(),
        ),
        request(Method::POST, "/api/admin/products", &admin, new),
        request(
            Method::PATCH,
            &format!("/api/admin/products/{product}"),
            &admin,
            r#"{"max_per_customer":null}"#,
        ),
        request(
            Method::POST,
            &format!("/api/admin/products/{product}/restock"),
            &admin,
            r#"{"quantity":1}"#,
        ),
        request(
            Method::GET,
            "/api/admin/payments?state=parked&after=1.2.3",
            &admin,
            "",
        ),
        request(Method::GET, "/api/admin/dead-letters?after=0", &admin, ""),
        request(
            Method::POST,
            "/api/admin/dead-letters/1/retry",
            &admin,
            "{}",
        ),
    ]
}

fn bend_bytes(bytes: &mut Vec<u8>, rng: &mut StdRng) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..5) {
        0 => bytes.truncate(at),
        1 if at < bytes.len() => bytes[at] = rng.random(),
        2 if at < bytes.len() => drop(bytes.remove(at)),
        3 => bytes.extend_from_within(at..),
        _ => {
            let token = TOKENS.choose(rng).copied().unwrap_or_default();
            bytes.splice(at..at, token.bytes());
        }
    }
}

fn bend(request: &mut DamagedRequest, rng: &mut StdRng) {
    match rng.random_range(0..4) {
        0 if !request.headers.is_empty() => {
            let at = rng.random_range(0..request.headers.len());
            bend_bytes(&mut request.headers[at].1, rng);
        }
        1 => {
            let token = TOKENS.choose(rng).copied().unwrap_or_default();
            let mut path = request.path.clone().into_bytes();
            let at = rng.random_range(1..=path.len());
            path.splice(at..at, token.bytes());
            request.path = String::from_utf8(path).unwrap_or_else(|_| request.path.clone());
        }
        _ => bend_bytes(&mut request.body, rng),
    }
}

/// Sends the request; returns `None` when it can't be sent over HTTP.
async fn send(sale: &Sale, request: &DamagedRequest) -> Option<Answer> {
    let headers: Vec<(&str, String)> = request
        .headers
        .iter()
        .filter_map(|(name, value)| Some((*name, String::from_utf8(value.clone()).ok()?)))
        .filter(|(_, value)| HeaderValue::from_str(value).is_ok())
        .collect();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let body = (request.method != Method::GET).then(|| request.body.clone());
    match sale
        .client()
        .try_send(request.method.clone(), &request.path, &headers, body)
        .await
    {
        Ok(answer) => Some(answer),
        Err(error) if error.is_builder() => None,
        Err(error) => panic!("no response to {request:?}: {error:?}"),
    }
}

#[tokio::test]
async fn broken_requests_never_get_a_server_error() {
    let seed = std::env::var("HOLDFAST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    println!("HOLDFAST_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let sale = Sale::start().await;
    let product = sale.product(100_000).await;
    let hold = sale.client().hold(product, 1, &[]).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let corpus = corpus(product, &hold);
    let requests: Vec<DamagedRequest> = (0..REQUESTS)
        .map(|_| {
            let mut request = corpus.choose(&mut rng).unwrap().clone();
            (0..rng.random_range(1..=BENDS_MAX)).for_each(|_| bend(&mut request, &mut rng));
            request
        })
        .collect();
    let sent = stream::iter(&requests).map(async |request| (request, send(&sale, request).await));
    let mut answered = 0;
    for (request, answer) in sent.buffer_unordered(CONNECTIONS).collect::<Vec<_>>().await {
        let Some(answer) = answer else { continue };
        answered += 1;
        assert!(answer.status.as_u16() < 500, "{request:?}: {answer:?}");
        if answer.status.is_client_error() {
            let _ = answer.problem();
        }
    }
    assert!(
        answered > REQUESTS / 2,
        "only {answered} requests could be sent"
    );
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );
    assert_eq!(
        sale.count("SELECT count(*) FROM dead_letters WHERE slot >= $1", 0)
            .await,
        0
    );
    assert_invariants(&sale.pool).await;
}
