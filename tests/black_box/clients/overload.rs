//! Tests of overload: shoppers' commands get 503 `overloaded`, and all other requests are still served.

use futures_util::future::join_all;
use holdfast_tests::{ADMIN_TOKEN, Answer, Client, Sale, SaleBuilder, Webhook, metric_sum, until};
use reqwest::StatusCode;
use serde_json::json;

const UNKNOWN_ORDER: &str = "01a20634-0c9b-8cc1-96dc-8d450eaf51d9";

#[tokio::test]
async fn overload_refuses_holds_and_serves_everything_else() {
    let builder = SaleBuilder::default()
        .worker_http()
        .setting("CONNECTIONS_MAX", "32")
        .setting("REQUEST_WAIT_MS", "60000");
    let mut sale = builder.start().await;
    let product = sale.product(1000).await;
    sale.workers.remove(0).crash().await;
    let client = sale.client().clone();
    // Shoppers' commands may use seven eighths of 32 places.
    let waiting = join_all((0..28).map(|_| held_at_last(&client, product)));
    let meanwhile = async {
        check_overload(&sale, product).await;
        let webhook = Webhook::new("k", UNKNOWN_ORDER, "pay_1", "succeeded");
        tokio::join!(webhook.send(&client), sale.start_worker()).0
    };
    let (held, paid) = tokio::join!(waiting, meanwhile);
    for answer in held {
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    assert_eq!(
        (paid.status, &paid.body["result"]),
        (StatusCode::ACCEPTED, &"parked".into())
    );
    assert_eq!(
        client.hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );
    let answered = metric_sum(
        &client,
        "holdfast_http_requests_total",
        &[("status", "503")],
    )
    .await;
    assert!(answered >= 2.0, "a hold and an order");
    assert_eq!(
        metric_sum(
            &client,
            "holdfast_unavailable_total",
            &[("code", "overloaded")]
        )
        .await,
        answered
    );
    assert_eq!(
        metric_sum(&client, "holdfast_unavailable_total", &[]).await,
        answered
    );
}

/// Repeats a request, because another request may have used the place for a moment.
async fn held_at_last(client: &Client, product: i64) -> Answer {
    until("a place", async || {
        let answer = client.hold(product, 1, &[]).await;
        (answer.status != StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
}

async fn check_overload(sale: &Sale, product: i64) {
    let refused = until("holds to be refused", async || {
        let answer = sale
            .client()
            .hold(product, 1, &[("prefer", "respond-async")])
            .await;
        (answer.status != StatusCode::ACCEPTED).then_some(answer)
    })
    .await;
    assert_eq!(
        (refused.status, refused.problem()),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    assert_eq!(refused.header("retry-after"), "1");
    let order = sale
        .client()
        .post("/api/orders", &[], &json!({"hold_id": UNKNOWN_ORDER}))
        .await;
    assert_eq!(
        (order.status, order.problem()),
        (StatusCode::SERVICE_UNAVAILABLE, "overloaded")
    );
    let read = sale.client().get(&format!("/api/products/{product}")).await;
    assert_eq!(read.status, StatusCode::OK, "{read:?}");
    let authorization = format!("Bearer {ADMIN_TOKEN}");
    let headers = [
        ("authorization", &*authorization),
        ("prefer", "respond-async"),
    ];
    let restock = format!("/api/admin/products/{product}/restock");
    let restocked = sale
        .client()
        .post(&restock, &headers, &json!({"quantity": 5}))
        .await;
    assert_eq!(restocked.status, StatusCode::ACCEPTED, "{restocked:?}");
}
