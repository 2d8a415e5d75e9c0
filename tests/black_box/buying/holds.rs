//! Tests of holds: create, read, release and expiry.

use holdfast_tests::{Sale, SaleBuilder, until};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn hold_is_created_read_and_released() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let body = json!({"product_id": product, "quantity": 3, "customer_id": "c-1"});
    let made = sale.client().post("/api/holds", &[], &body).await;
    assert_eq!(made.status, StatusCode::CREATED);
    let path = made.header("location").to_owned();
    assert_eq!(
        path,
        format!("/api/holds/{}", made.body["hold_id"].as_str().unwrap())
    );
    for (field, value) in [
        ("product_id", json!(product)),
        ("quantity", json!(3)),
        ("customer_id", json!("c-1")),
        ("status", json!("active")),
        ("reserved_for_seconds", json!(120)),
        ("sequence", json!(1)),
    ] {
        assert_eq!(made.body[field], value, "{field}");
    }
    assert_eq!(
        uuid::Uuid::parse_str(made.body["hold_id"].as_str().unwrap())
            .unwrap()
            .get_version_num(),
        8
    );
    assert!(made.body["expires_at"].as_str().unwrap().ends_with('Z'));
    let seen = sale.client().get(&path).await;
    assert_eq!((seen.status, &seen.body), (StatusCode::OK, &made.body));
    for _ in 0..2 {
        let released = sale.client().delete(&path).await;
        assert_eq!(
            (released.status, &released.body["status"]),
            (StatusCode::OK, &json!("released"))
        );
    }
    assert_eq!(sale.client().get(&path).await.body["status"], "released");
    assert_eq!(
        sale.count(
            "SELECT available_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        10
    );
}

#[tokio::test]
async fn hold_is_shown_as_expired_after_its_lifetime() {
    let sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "1")
        .start()
        .await;
    let product = sale.product(10).await;
    let made = sale.client().hold(product, 3, &[]).await;
    assert_eq!(made.body["reserved_for_seconds"], 1);
    let path = made.header("location").to_owned();
    until("the hold to be expired", async || {
        let seen = sale.client().get(&path).await;
        (seen.body["status"] == "expired").then_some(())
    })
    .await;
    let released = sale.client().delete(&path).await;
    assert_eq!(
        (released.status, released.problem()),
        (StatusCode::GONE, "hold_expired")
    );
    assert_eq!(
        sale.count(
            "SELECT available_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        10
    );
}
