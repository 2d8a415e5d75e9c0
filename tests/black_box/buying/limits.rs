//! Tests of `max_per_customer`: the most units that one customer may have.

use holdfast_tests::{ADMIN_TOKEN, Answer, Sale, Webhook};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::buying::requests::done;

#[tokio::test]
async fn customer_limit_counts_holds_and_orders() {
    let sale = Sale::start().await;
    let body = json!({"name": "Lamp", "price_minor": 1, "currency": "USD", "total_stock": 100, "max_per_customer": 4});
    let product = sale.admin_post("/api/admin/products", &body).await.body["id"]
        .as_i64()
        .unwrap();
    let hold = async |customer: &str, quantity: i64| {
        let body = json!({"product_id": product, "quantity": quantity, "customer_id": customer});
        sale.client().post("/api/holds", &[], &body).await
    };
    let id = |answer: Answer| answer.body["hold_id"].as_str().unwrap().to_owned();
    let refused = |answer: Answer| {
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::CONFLICT, "purchase_limit_reached")
        )
    };
    refused(hold("c-1", 5).await);
    let (first, second) = (id(hold("c-1", 2).await), id(hold("c-1", 2).await));
    refused(hold("c-1", 1).await);
    assert_eq!(
        hold("c-2", 4).await.status,
        StatusCode::CREATED,
        "the limit counts another customer's holds"
    );
    sale.client()
        .post("/api/orders", &[], &json!({"hold_id": first}))
        .await;
    refused(hold("c-1", 1).await);
    assert_eq!(
        Webhook::new("k1", &first, "pay_1", "succeeded")
            .send(sale.client())
            .await
            .body["order_status"],
        "paid"
    );
    refused(hold("c-1", 1).await);
    sale.client().delete(&format!("/api/holds/{second}")).await;
    let third = id(hold("c-1", 2).await);
    refused(hold("c-1", 1).await);
    sale.client()
        .post("/api/orders", &[], &json!({"hold_id": third}))
        .await;
    let failed = Webhook::new("k2", &third, "pay_2", "failed")
        .send(sale.client())
        .await;
    assert_eq!(failed.body["order_status"], "cancelled");
    assert_eq!(
        hold("c-1", 2).await.status,
        StatusCode::CREATED,
        "a cancelled order still counts"
    );
}

#[tokio::test]
async fn customer_limit_applies_to_concurrent_requests() {
    let sale = Sale::start().await;
    let body = json!({"name": "Lamp", "price_minor": 1, "currency": "USD", "total_stock": 100, "max_per_customer": 3});
    let product = sale.admin_post("/api/admin/products", &body).await.body["id"]
        .as_i64()
        .unwrap();
    let body = json!({"product_id": product, "quantity": 1, "customer_id": "c-1"});
    let requests = (0..30).map(|_| sale.client().post("/api/holds", &[], &body));
    let answers = futures_util::future::join_all(requests).await;
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.status == StatusCode::CREATED)
            .count(),
        3
    );
}

#[tokio::test]
async fn changed_limit_applies_to_the_next_command() {
    let mut sale = Sale::start().await;
    let product = sale.product(10).await;
    // Without a worker the three commands wait in the log. The worker then applies them in one batch.
    sale.workers.remove(0).crash().await;
    let (path, authorization) = (
        format!("/api/admin/products/{product}"),
        format!("Bearer {ADMIN_TOKEN}"),
    );
    let later = ("prefer", "respond-async");
    let hold = json!({"product_id": product, "quantity": 1, "customer_id": "c-1"});
    let headers = [
        later,
        ("authorization", &*authorization),
        ("content-type", "application/json"),
    ];
    let limit = Some(br#"{"max_per_customer": 1}"#.to_vec());
    let queued = [
        sale.client().post("/api/holds", &[later], &hold).await,
        sale.client()
            .send(Method::PATCH, &path, &headers, limit)
            .await,
        sale.client().post("/api/holds", &[later], &hold).await,
    ];
    sale.start_worker().await;
    let mut statuses = Vec::new();
    for answer in queued {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        statuses.push(done(sale.client(), answer.header("location")).await["status"].clone());
    }
    assert_eq!(statuses, [201, 200, 409]);
}
