//! Tests of I4: one idempotency key has one effect and one outcome.

use futures_util::future::join_all;
use holdfast_tests::{Sale, SaleBuilder};
use reqwest::StatusCode;
use serde_json::json;

use crate::buying::requests::done;

#[tokio::test]
async fn fifty_requests_with_one_key_make_one_hold() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let product = sale.product(100).await;
    let key = [("idempotency-key", "the-one")];
    let answers = join_all((0..50_usize).map(|n| sale.clients[n % 2].hold(product, 2, &key))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status, &answer.body),
            (StatusCode::CREATED, &answers[0].body)
        );
        assert_eq!(answer.header("location"), answers[0].header("location"));
    }
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed") == "true")
        .count();
    assert_eq!(replayed, 49);
    assert_eq!(
        sale.count("SELECT count(*) FROM holds WHERE product_id = $1", product)
            .await,
        1
    );
    assert_eq!(
        sale.count(
            "SELECT held_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        2
    );
}

#[tokio::test]
async fn refusal_is_replayed_after_stock_returns() {
    let sale = Sale::start().await;
    let product = sale.product(1).await;
    let key = [("idempotency-key", "k")];
    let refused = sale.client().hold(product, 2, &key).await;
    assert_eq!(refused.problem(), "insufficient_stock");
    sale.admin_post(
        &format!("/api/admin/products/{product}/restock"),
        &json!({"quantity": 5}),
    )
    .await;
    let again = sale.client().hold(product, 2, &key).await;
    assert_eq!((again.status, &again.body), (refused.status, &refused.body));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(
        sale.client().hold(product, 2, &[]).await.status,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn key_with_another_body_is_rejected_comparing_values() {
    let sale = Sale::start().await;
    let product = sale.product(100).await;
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "k"),
    ];
    let send = async |body: String| {
        sale.client()
            .send(
                reqwest::Method::POST,
                "/api/holds",
                &headers,
                Some(body.into_bytes()),
            )
            .await
    };
    let first = send(format!(r#"{{"product_id": {product}, "quantity": 2}}"#)).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let same = send(format!(
        r#" {{ "quantity":2,"customer_id":null,  "product_id":{product}}}"#
    ))
    .await;
    assert_eq!(
        (same.status, &same.body),
        (StatusCode::CREATED, &first.body)
    );
    let other = send(format!(r#"{{"product_id": {product}, "quantity": 3}}"#)).await;
    assert_eq!(
        (other.status, other.problem()),
        (StatusCode::UNPROCESSABLE_ENTITY, "idempotency_key_reused")
    );
    assert_eq!(
        sale.count(
            "SELECT held_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        2
    );
}

#[tokio::test]
async fn key_scope_is_endpoint_and_product() {
    let sale = Sale::start().await;
    let products = [sale.product(10).await, sale.product(10).await];
    let key = [("idempotency-key", "k")];
    let first = sale.client().hold(products[0], 1, &key).await;
    let second = sale.client().hold(products[1], 1, &key).await;
    assert_eq!(
        (first.status, second.status),
        (StatusCode::CREATED, StatusCode::CREATED)
    );
    let path = format!("/api/holds/{}", first.body["hold_id"].as_str().unwrap());
    for replayed in ["", "true"] {
        let released = sale
            .client()
            .send(reqwest::Method::DELETE, &path, &key, None)
            .await;
        assert_eq!(
            (released.status, &released.body["status"]),
            (StatusCode::OK, &"released".into())
        );
        assert_eq!(released.header("idempotent-replayed"), replayed);
    }
}

#[tokio::test]
async fn repeat_of_a_queued_request_gets_the_same_request_id() {
    let mut sale = SaleBuilder::default().ingresses(2).start().await;
    let product = sale.product(100).await;
    sale.workers.remove(0).crash().await;
    let headers = [("idempotency-key", "k"), ("prefer", "respond-async")];
    let first = sale.clients[0].hold(product, 2, &headers).await;
    let again = sale.clients[1].hold(product, 2, &headers).await;
    assert_eq!(
        (first.status, again.status),
        (StatusCode::ACCEPTED, StatusCode::ACCEPTED)
    );
    assert_eq!(first.body["request_id"], again.body["request_id"]);
    assert_eq!(first.header("location"), again.header("location"));
    let other = sale.clients[1].hold(product, 3, &headers).await;
    assert_ne!(first.body["request_id"], other.body["request_id"]);
    sale.start_worker().await;
    assert_eq!(
        done(sale.client(), first.header("location")).await["status"],
        201
    );
    assert_eq!(
        done(sale.client(), other.header("location")).await["body"]["code"],
        "idempotency_key_reused"
    );
    assert_eq!(
        sale.count(
            "SELECT held_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        2
    );
}

#[tokio::test]
async fn malformed_keys_are_rejected() {
    let sale = Sale::start().await;
    let product = sale.product(1).await;
    let long = "k".repeat(256);
    for key in ["", &long] {
        let answer = sale
            .client()
            .hold(product, 1, &[("idempotency-key", key)])
            .await;
        assert_eq!(
            (answer.status, answer.problem()),
            (StatusCode::UNPROCESSABLE_ENTITY, "invalid_request")
        );
        assert_eq!(answer.body["errors"][0]["field"], "Idempotency-Key");
    }
    assert_eq!(
        sale.client()
            .hold(product, 1, &[("idempotency-key", &long[..255])])
            .await
            .status,
        StatusCode::CREATED
    );
}
