//! Tests of traces as an OpenTelemetry collector receives them: a request, the batch that applied its command, and the
//! transaction.

#![allow(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use futures_util::future::join_all;
use holdfast_tests::{SaleBuilder, WEBHOOK_SECRET, Webhook, until};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::{Method, StatusCode};
use serde_json::json;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";
const CUSTOMER: &str = "sk_live_c4n4ry";

/// The bodies of all received requests.
type Received = Arc<Mutex<Vec<Bytes>>>;

/// Starts a collector that keeps all requests.
async fn start_collector() -> (String, Received) {
    let received = Received::default();
    let keep = Arc::clone(&received);
    let traces = post(async move |body: Bytes| keep.lock().unwrap().push(body));
    let socket = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    tokio::spawn(async { axum::serve(socket, Router::new().route("/v1/traces", traces)).await });
    (endpoint, received)
}

fn spans(received: &Received) -> Vec<Span> {
    let bodies = received.lock().unwrap().clone();
    let requests = bodies
        .into_iter()
        .map(|body| ExportTraceServiceRequest::decode(body).unwrap());
    let scopes = requests
        .flat_map(|request| request.resource_spans)
        .flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn hold_is_traced_from_request_to_transaction() {
    let (endpoint, received) = start_collector().await;
    let builder = SaleBuilder::default().setting("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let sale = builder
        .setting("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start()
        .await;
    let product = sale.product(10).await;
    let traceparent = format!("00-{TRACE}-{PARENT}-01");
    let body = json!({"product_id": product, "quantity": 1, "customer_id": CUSTOMER});
    let held = sale
        .client()
        .post("/api/holds", &[("traceparent", &traceparent)], &body)
        .await;
    assert_eq!(held.status, StatusCode::CREATED, "{held:?}");
    until(
        "the spans of a request, its batch and its transaction",
        async || {
            let spans = spans(&received);
            let request = spans.iter().find(|span| span.name == "create_hold")?;
            assert_eq!(
                (
                    hex(&request.trace_id).as_str(),
                    hex(&request.parent_span_id).as_str()
                ),
                (TRACE, PARENT)
            );
            let links_to_it = |span: &&Span| {
                span.links
                    .iter()
                    .any(|link| link.span_id == request.span_id)
            };
            let batch = spans
                .iter()
                .filter(|span| span.name == "batch")
                .find(links_to_it)?;
            assert_eq!(hex(&batch.links[0].trace_id), TRACE);
            spans
                .iter()
                .find(|span| span.name == "transaction" && span.parent_span_id == batch.span_id)
                .map(drop)
        },
    )
    .await;
    let shown = received
        .lock()
        .unwrap()
        .iter()
        .any(|body| String::from_utf8_lossy(body).contains(CUSTOMER));
    assert!(!shown, "a trace contains a customer id");
}

#[tokio::test]
async fn webhooks_are_traced_to_the_batches_that_apply_them() {
    const WEBHOOKS: usize = 24;
    let (endpoint, received) = start_collector().await;
    let builder = SaleBuilder::default().setting("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint);
    let sale = builder
        .setting("OTEL_BSP_SCHEDULE_DELAY", "100")
        .start()
        .await;
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    // The first webhook is published alone. Those that arrive during its sync are published together.
    let sending = (0..WEBHOOKS).map(async |number| {
        let webhook = Webhook::new(
            &format!("evt-{number}"),
            &order,
            &format!("{CUSTOMER}-{number}"),
            "failed",
        );
        let traceparent = format!("00-{TRACE}-{:016x}-01", number + 1);
        let signed = webhook.headers(WEBHOOK_SECRET, 0);
        let mut headers: Vec<_> = signed
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        headers.push(("traceparent", &traceparent));
        let body = Some(webhook.body.to_string().into_bytes());
        let answer = sale
            .client()
            .send(Method::POST, "/api/payments/webhook", &headers, body)
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    });
    join_all(sending).await;
    until("a batch for each webhook", async || {
        let spans = spans(&received);
        let requests: Vec<_> = spans.iter().filter(|span| span.name == "webhook").collect();
        let batches = || {
            spans
                .iter()
                .filter(|span| span.name == "batch")
                .flat_map(|batch| &batch.links)
        };
        let is_linked = |request: &&&Span| batches().any(|link| link.span_id == request.span_id);
        let linked = requests.iter().filter(is_linked).count();
        (requests
            .iter()
            .all(|request| hex(&request.trace_id) == TRACE)
            && linked == WEBHOOKS)
            .then_some(())
    })
    .await;
    let shown = received
        .lock()
        .unwrap()
        .iter()
        .any(|body| String::from_utf8_lossy(body).contains(CUSTOMER));
    assert!(!shown, "a trace contains a payment id");
}
