//! Tests of orders: a hold becomes at most one order.

use holdfast_tests::{Sale, SaleBuilder, until};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn hold_becomes_one_order_at_the_price_of_the_hold() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 3, &[]).await;
    let hold_id = hold.body["hold_id"].as_str().unwrap().to_owned();
    let path = format!("/api/admin/products/{product}");
    let authorization = format!("Bearer {}", holdfast_tests::ADMIN_TOKEN);
    let headers = [
        ("authorization", &*authorization),
        ("content-type", "application/json"),
    ];
    let dearer = Some(br#"{"price_minor": 20000}"#.to_vec());
    assert_eq!(
        sale.client()
            .send(reqwest::Method::PATCH, &path, &headers, dearer)
            .await
            .status,
        StatusCode::OK
    );

    let order = sale
        .client()
        .post("/api/orders", &[], &json!({"hold_id": hold_id}))
        .await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    assert_eq!(order.header("location"), format!("/api/orders/{hold_id}"));
    let mut fields = order.body.as_object().unwrap().clone();
    for time in ["payment_due_at", "created_at"] {
        assert!(
            fields
                .remove(time)
                .unwrap()
                .as_str()
                .unwrap()
                .ends_with('Z')
        );
    }
    assert_eq!(
        serde_json::Value::from(fields),
        json!({"order_id": hold_id, "order_reference": format!("order_{hold_id}"), "hold_id": hold_id,
            "product_id": product, "quantity": 3, "amount": 299.97, "amount_minor": 29997, "currency": "USD",
            "status": "pending_payment", "cancel_reason": null, "payment_id": null, "refund_status": "none"})
    );
    for id in [hold_id.clone(), format!("order_{hold_id}")] {
        assert_eq!(
            sale.client().get(&format!("/api/orders/{id}")).await.body,
            order.body
        );
    }
    let again = sale
        .client()
        .post("/api/orders", &[], &json!({"hold_id": hold_id}))
        .await;
    assert_eq!(
        (again.status, again.problem()),
        (StatusCode::CONFLICT, "hold_consumed")
    );
    let released = sale.client().delete(&format!("/api/holds/{hold_id}")).await;
    assert_eq!(
        (released.status, released.problem()),
        (StatusCode::CONFLICT, "hold_consumed")
    );
    assert_eq!(
        sale.client()
            .get(&format!("/api/holds/{hold_id}"))
            .await
            .body["status"],
        "consumed"
    );
    let stock = sale
        .client()
        .get(&format!("/api/products/{product}"))
        .await
        .body;
    assert_eq!(
        (&stock["held_stock"], &stock["holds_count"]),
        (&json!(3), &json!(0))
    );
}

#[tokio::test]
async fn order_of_an_unusable_hold_is_refused() {
    let sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "2")
        .start()
        .await;
    let product = sale.product(10).await;
    let order = async |id: &str| {
        sale.client()
            .post("/api/orders", &[], &json!({"hold_id": id}))
            .await
    };
    let hold = async || {
        sale.client().hold(product, 1, &[]).await.body["hold_id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let released = hold().await;
    sale.client()
        .delete(&format!("/api/holds/{released}"))
        .await;
    let answer = order(&released).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::CONFLICT, "hold_released")
    );
    let answer = order("01a205c9-8f56-8cc1-9b7d-29b3ac88daff").await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::NOT_FOUND, "hold_not_found")
    );
    for id in ["", "1", "01a205c9-8f56-4cc1-9b7d-29b3ac88daff"] {
        let answer = order(id).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (422, "invalid_request"),
            "{id}"
        );
    }
    let expired = hold().await;
    until("the hold to be expired", async || {
        let seen = sale.client().get(&format!("/api/holds/{expired}")).await;
        (seen.body["status"] == "expired").then_some(())
    })
    .await;
    let answer = order(&expired).await;
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::GONE, "hold_expired")
    );
    let missing = sale
        .client()
        .get("/api/orders/01a205c9-8f56-8cc1-9b7d-29b3ac88daff")
        .await;
    assert_eq!(
        (missing.status, missing.problem()),
        (StatusCode::NOT_FOUND, "order_not_found")
    );
}

#[tokio::test]
async fn unpaid_order_is_cancelled_and_returns_its_stock() {
    let sale = SaleBuilder::default()
        .setting("ORDER_PAYMENT_SECONDS", "1")
        .start()
        .await;
    let product = sale.product(10).await;
    let order = sale.order(product, 4).await;
    let cancelled = until("the order to be cancelled", async || {
        let seen = sale.client().get(&format!("/api/orders/{order}")).await;
        (seen.body["status"] == "cancelled").then_some(seen.body)
    })
    .await;
    assert_eq!(cancelled["cancel_reason"], "payment_timeout");
    assert_eq!(
        sale.count(
            "SELECT available_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        10
    );
}
