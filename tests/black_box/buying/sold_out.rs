//! Tests of sold-out products: the ingress refuses holds without a command, until it receives that units are available.

use async_nats::jetstream;
use holdfast_tests::{Answer, Sale, SaleBuilder, SharedStack, metric_sum, until};
use reqwest::StatusCode;
use serde_json::json;

/// Number of refused requests in a row that shows that none became a command.
const REQUESTS: usize = 20;

/// The number of messages that were ever stored in the log.
async fn log_end(sale: &Sale) -> u64 {
    let nats = async_nats::connect(SharedStack::get().await.nats_url())
        .await
        .unwrap();
    let stream = jetstream::new(nats)
        .get_stream(format!("{}-commands", sale.name))
        .await
        .unwrap();
    stream.cached_info().state.last_sequence
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == StatusCode::CONFLICT && answer.problem() == "insufficient_stock"
}

/// Waits until requests are refused and the log does not grow; returns the last reply.
async fn refused_from_memory(
    sale: &Sale,
    product: i64,
    quantity: i64,
    headers: &[(&str, &str)],
) -> Answer {
    until("refusals without commands", async || {
        let before = log_end(sale).await;
        let mut last = None;
        for _ in 0..REQUESTS {
            last = Some(sale.client().hold(product, quantity, headers).await).filter(is_refused);
            last.as_ref()?;
        }
        (log_end(sale).await == before).then_some(last?)
    })
    .await
}

async fn outcomes(sale: &Sale) -> i64 {
    sale.count("SELECT count(*) FROM outcomes WHERE $1 = $1", 0)
        .await
}

#[tokio::test]
async fn sold_out_refusal_needs_no_command_and_has_the_same_text() {
    let sale = SaleBuilder::default().worker_http().start().await;
    let product = sale.product(3).await;
    let by_log = sale
        .client()
        .hold(product, 4, &[("idempotency-key", "k-1")])
        .await;
    assert!(is_refused(&by_log), "{by_log:?}");
    assert_eq!(
        metric_sum(sale.client(), "holdfast_sold_out_total", &[]).await,
        0.0,
        "the refusal came from a worker"
    );
    let refused = refused_from_memory(&sale, product, 4, &[]).await;
    assert!(metric_sum(sale.client(), "holdfast_sold_out_total", &[]).await >= REQUESTS as f64);
    assert_eq!(
        (&refused.text, &refused.body["available_stock"]),
        (&by_log.text, &json!(3))
    );
    let stored = outcomes(&sale).await;
    let refused = refused_from_memory(&sale, product, 4, &[("prefer", "wait=2")]).await;
    assert_eq!(refused.header("preference-applied"), "wait=2");
    assert_eq!(
        outcomes(&sale).await,
        stored,
        "a request refused from memory has stored an outcome"
    );
    assert_eq!(
        sale.client().hold(product, 3, &[]).await.status,
        StatusCode::CREATED,
        "the available units could not be held"
    );
    refused_from_memory(&sale, product, 1, &[]).await;
    // `respond-async` always gives 202.
    let queued = sale
        .client()
        .hold(product, 4, &[("prefer", "respond-async")])
        .await;
    assert_eq!(queued.status, StatusCode::ACCEPTED, "{queued:?}");
}

#[tokio::test]
async fn request_with_a_key_is_never_refused_from_memory() {
    let sale = Sale::start().await;
    let product = sale.product(1).await;
    let key = [("idempotency-key", "k-1")];
    let held = sale.client().hold(product, 1, &key).await;
    assert_eq!(held.status, StatusCode::CREATED);
    refused_from_memory(&sale, product, 1, &[]).await;
    let repeated = sale.client().hold(product, 1, &key).await;
    assert_eq!(
        (repeated.status, repeated.header("idempotent-replayed")),
        (StatusCode::CREATED, "true")
    );
    assert_eq!(repeated.text, held.text);
    let before = outcomes(&sale).await;
    assert!(is_refused(
        &sale
            .client()
            .hold(product, 1, &[("idempotency-key", "k-2")])
            .await
    ));
    assert_eq!(outcomes(&sale).await, before + 1);
}

#[tokio::test]
async fn returned_units_can_be_held_at_once() {
    let sale = Sale::start().await;
    let product = sale.product(1).await;
    let mut held = sale.client().hold(product, 1, &[]).await;
    for round in 0..10 {
        refused_from_memory(&sale, product, 1, &[]).await;
        if round % 2 == 0 {
            let released = sale.client().delete(held.header("location")).await;
            assert_eq!(released.body["status"], "released");
        } else {
            let path = format!("/api/admin/products/{product}/restock");
            assert_eq!(
                sale.admin_post(&path, &json!({"quantity": 1})).await.status,
                StatusCode::OK
            );
        }
        held = sale.client().hold(product, 1, &[]).await;
        assert_eq!(held.status, StatusCode::CREATED, "round {round}: {held:?}");
    }
}

#[tokio::test]
async fn units_of_an_expired_hold_can_be_held_at_once() {
    let sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "4")
        .start()
        .await;
    let product = sale.product(1).await;
    let held = sale.client().hold(product, 1, &[]).await;
    let last = refused_from_memory(&sale, product, 1, &[]).await;
    assert!(is_refused(&last));
    let path = held.header("location");
    until("the hold to be expired", async || {
        (sale.client().get(path).await.body["status"] == "expired").then_some(())
    })
    .await;
    let next = sale.client().hold(product, 1, &[]).await;
    assert_eq!(next.status, StatusCode::CREATED, "{next:?}");
}

#[tokio::test]
async fn sold_out_is_not_refused_from_memory_without_a_worker() {
    let mut sale = SaleBuilder::default()
        .setting("PARTITION_LEASE_MS", "800")
        .setting("REQUEST_WAIT_MS", "500")
        .start()
        .await;
    let product = sale.product(0).await;
    let by_memory = refused_from_memory(&sale, product, 1, &[]).await;
    sale.workers.remove(0).crash().await;
    let waiting = until("a request to go to the log", async || {
        let answer = sale.client().hold(product, 1, &[]).await;
        (answer.status == StatusCode::ACCEPTED).then_some(answer)
    })
    .await;
    sale.start_worker().await;
    let response = crate::buying::requests::done(sale.client(), waiting.header("location")).await;
    assert_eq!(
        (&response["status"], &response["body"]),
        (&json!(409), &by_memory.body)
    );
    refused_from_memory(&sale, product, 1, &[]).await;
}

#[tokio::test]
async fn closed_sale_is_refused_as_closed_before_sold_out() {
    let sale = Sale::start().await;
    let sold_out = async |starts: &str, ends: &str| {
        let body = json!({"name": "Lamp", "price_minor": 1, "currency": "EUR", "total_stock": 0,
            "sale_starts_at": starts, "sale_ends_at": ends});
        sale.admin_post("/api/admin/products", &body).await.body["id"]
            .as_i64()
            .unwrap()
    };
    let (past, future) = ("2020-01-01T00:00:00Z", "2120-01-01T00:00:00Z");
    refused_from_memory(&sale, sold_out(past, future).await, 1, &[]).await;
    for (starts, ends) in [
        (future, "2121-01-01T00:00:00Z"),
        ("2019-01-01T00:00:00Z", past),
    ] {
        let closed = sold_out(starts, ends).await;
        for _ in 0..REQUESTS {
            let refused = sale.client().hold(closed, 1, &[]).await;
            assert_eq!(
                (refused.status, refused.problem()),
                (StatusCode::CONFLICT, "sale_not_open")
            );
        }
    }
    let unknown = sale.client().hold(987_654, 1, &[]).await;
    assert_eq!(
        (unknown.status, unknown.problem()),
        (StatusCode::NOT_FOUND, "product_not_found")
    );
}
