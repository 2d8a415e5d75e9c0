//! 503 `overloaded`: shoppers' commands are refused before everything stands still.

use futures_util::future::join_all;
use holdfast_tests::{ADMIN_TOKEN, SaleBuilder, Webhook, until};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn while_holds_are_refused_reads_operators_and_webhooks_are_not() {
    let builder = SaleBuilder::default().setting("CONNECTIONS_MAX", "32").setting("REQUEST_WAIT_MS", "60000");
    let mut sale = builder.start().await;
    let product = sale.product(1000).await;
    sale.workers.remove(0).crash().await;

    let waiting = tokio::spawn({
        let client = sale.client().clone();
        // Seven eighths of 32.
        async move { join_all((0..28).map(|_| client.hold(product, 1, &[]))).await }
    });
    let refused = until("holds to be refused", async || {
        let answer = sale.client().hold(product, 1, &[("prefer", "respond-async")]).await;
        (answer.status != StatusCode::ACCEPTED).then_some(answer)
    })
    .await;
    assert_eq!((refused.status, refused.problem()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    assert_eq!(refused.header("retry-after"), "1");
    let order = json!({"hold_id": "01a20634-0c9b-8cc1-96dc-8d450eaf51d9"});
    assert_eq!(sale.client().post("/api/orders", &[], &order).await.problem(), "overloaded");

    assert_eq!(sale.client().get(&format!("/api/products/{product}")).await.status, StatusCode::OK);
    let authorization = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", &*authorization), ("prefer", "respond-async")];
    let restock = format!("/api/admin/products/{product}/restock");
    let restocked = sale.client().post(&restock, &headers, &json!({"quantity": 5})).await;
    assert_eq!(restocked.status, StatusCode::ACCEPTED, "{restocked:?}");
    let paid = tokio::spawn({
        let (client, order) = (sale.client().clone(), "01a20634-0c9b-8cc1-96dc-8d450eaf51d9");
        async move { Webhook::new("k", order, "pay_1", "succeeded").send(&client).await }
    });

    sale.start_worker().await;
    let answers = waiting.await.unwrap();
    let created = answers.iter().filter(|answer| answer.status == StatusCode::CREATED).count();
    assert!(created > 0, "{answers:?}");
    for answer in answers.iter().filter(|answer| answer.status != StatusCode::CREATED) {
        assert_eq!((answer.status, answer.problem()), (StatusCode::SERVICE_UNAVAILABLE, "overloaded"));
    }
    let paid = paid.await.unwrap();
    assert_eq!((paid.status, &paid.body["result"]), (StatusCode::ACCEPTED, &"parked".into()));
    assert_eq!(sale.client().hold(product, 1, &[]).await.status, StatusCode::CREATED);
}
