//! Tests of every row of the contract's table of webhooks.

use futures_util::future::join_all;
use holdfast_tests::{Answer, Sale, SaleBuilder, Webhook, until};
use reqwest::StatusCode;
use serde_json::json;

async fn order_of(sale: &Sale, id: &str) -> serde_json::Value {
    sale.client().get(&format!("/api/orders/{id}")).await.body
}

async fn stock_of(sale: &Sale, product: i64) -> [i64; 3] {
    let count = async |query| sale.count(query, product).await;
    [
        count("SELECT available_stock FROM products WHERE product_id = $1").await,
        count("SELECT held_stock FROM products WHERE product_id = $1").await,
        count("SELECT sold_stock FROM products WHERE product_id = $1").await,
    ]
}

#[track_caller]
fn assert_result(answer: &Answer, result: &str, order_status: &str) {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(
        (&answer.body["result"], &answer.body["order_status"]),
        (&json!(result), &json!(order_status)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn payment_pays_a_pending_order_and_a_repeat_is_replayed() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let product = sale.product(10).await;
    let order = sale.order(product, 3).await;
    let paid = Webhook::new("k1", &order, "pay_1", "succeeded")
        .with("amount_minor", json!(29997))
        .with("currency", json!("usd"));
    let answers = join_all((0..20_usize).map(|n| paid.send(&sale.clients[n % 2]))).await;
    for answer in &answers {
        assert_result(answer, "processed", "paid");
        assert_eq!(
            answer.body,
            json!({"result": "processed", "order_id": order, "order_status": "paid"})
        );
        assert_eq!(answer.text, answers[0].text, "the replay differs");
    }
    assert_eq!(
        answers
            .iter()
            .filter(|answer| answer.header("idempotent-replayed") == "true")
            .count(),
        19
    );
    let shown = order_of(&sale, &order).await;
    assert_eq!(
        (&shown["status"], &shown["payment_id"]),
        (&json!("paid"), &json!("pay_1"))
    );
    assert_eq!(stock_of(&sale, product).await, [7, 0, 3]);

    for _ in 0..2 {
        let other_body = Webhook::new("k1", &order, "pay_1", "failed")
            .send(sale.client())
            .await;
        assert_eq!(
            (other_body.status.as_u16(), other_body.problem()),
            (422, "idempotency_key_reused")
        );
    }
    assert_result(
        &Webhook::new("k2", &order, "pay_1", "paid")
            .send(sale.client())
            .await,
        "duplicate",
        "paid",
    );
    assert_result(
        &Webhook::new("k3", &order, "pay_1", "failed")
            .send(sale.client())
            .await,
        "ignored",
        "paid",
    );
    assert_result(
        &Webhook::new("k4", &order, "pay_2", "failed")
            .send(sale.client())
            .await,
        "ignored",
        "paid",
    );
    assert_result(
        &Webhook::new("k5", &order, "pay_3", "succeeded")
            .send(sale.client())
            .await,
        "refund_due",
        "paid",
    );
    let shown = order_of(&sale, &order).await;
    assert_eq!(
        (
            &shown["status"],
            &shown["payment_id"],
            &shown["refund_status"]
        ),
        (&json!("paid"), &json!("pay_1"), &json!("due"))
    );
    assert_eq!(stock_of(&sale, product).await, [7, 0, 3]);
}

#[tokio::test]
async fn failed_payment_cancels_and_a_late_success_restores() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let order = sale.order(product, 3).await;
    assert_result(
        &Webhook::new("k1", &order, "pay_1", "failed")
            .send(sale.client())
            .await,
        "processed",
        "cancelled",
    );
    assert_eq!(
        order_of(&sale, &order).await["cancel_reason"],
        "payment_failed"
    );
    assert_eq!(stock_of(&sale, product).await, [10, 0, 0]);
    assert_result(
        &Webhook::new("k2", &order, "pay_2", "failed")
            .send(sale.client())
            .await,
        "ignored",
        "cancelled",
    );
    assert_result(
        &Webhook::new("k3", &order, "pay_1", "succeeded")
            .send(sale.client())
            .await,
        "reallocated",
        "paid",
    );
    assert_eq!(order_of(&sale, &order).await["payment_id"], "pay_1");
    assert_eq!(stock_of(&sale, product).await, [7, 0, 3]);
}

#[tokio::test]
async fn late_payment_without_stock_is_refunded() {
    let sale = Sale::start().await;
    let product = sale.product(3).await;
    let order = sale.order(product, 3).await;
    assert_result(
        &Webhook::new("k1", &order, "pay_1", "failed")
            .send(sale.client())
            .await,
        "processed",
        "cancelled",
    );
    sale.client().hold(product, 1, &[]).await;
    assert_result(
        &Webhook::new("k2", &order, "pay_2", "succeeded")
            .send(sale.client())
            .await,
        "refund_due",
        "cancelled",
    );
    assert_eq!(order_of(&sale, &order).await["refund_status"], "due");
    assert_eq!(stock_of(&sale, product).await, [2, 1, 0]);
}

#[tokio::test]
async fn late_payments_are_refunded_if_so_configured() {
    let sale = SaleBuilder::default()
        .setting("LATE_PAYMENT", "refund")
        .start()
        .await;
    let product = sale.product(3).await;
    let order = sale.order(product, 3).await;
    assert_result(
        &Webhook::new("k1", &order, "pay_1", "failed")
            .send(sale.client())
            .await,
        "processed",
        "cancelled",
    );
    assert_result(
        &Webhook::new("k2", &order, "pay_2", "succeeded")
            .send(sale.client())
            .await,
        "refund_due",
        "cancelled",
    );
    assert_eq!(stock_of(&sale, product).await, [3, 0, 0]);
}

#[tokio::test]
async fn payment_of_a_wrong_amount_or_currency_is_refunded() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    let pay = |key, payment| Webhook::new(key, &order, payment, "succeeded");
    let less = pay("k1", "pay_1").with("amount_minor", json!(9998));
    assert_result(
        &less.send(sale.client()).await,
        "mismatch",
        "pending_payment",
    );
    let shown = order_of(&sale, &order).await;
    assert_eq!(
        (&shown["status"], &shown["refund_status"]),
        (&json!("pending_payment"), &json!("due"))
    );
    let other = pay("k2", "pay_2").with("currency", json!("EUR"));
    assert_result(
        &other.send(sale.client()).await,
        "mismatch",
        "pending_payment",
    );
    assert_result(
        &pay("k3", "pay_3").send(sale.client()).await,
        "processed",
        "paid",
    );
    assert_result(
        &pay("k4", "pay_4")
            .with("amount_minor", json!(1))
            .send(sale.client())
            .await,
        "mismatch",
        "paid",
    );
    assert_eq!(stock_of(&sale, product).await, [9, 0, 1]);
    let cancelled = sale.order(product, 1).await;
    Webhook::new("k5", &cancelled, "pay_5", "failed")
        .send(sale.client())
        .await;
    let late = Webhook::new("k6", &cancelled, "pay_6", "succeeded").with("amount_minor", json!(1));
    assert_result(&late.send(sale.client()).await, "mismatch", "cancelled");
    assert_eq!(order_of(&sale, &cancelled).await["refund_status"], "due");
}

#[tokio::test]
async fn early_payment_is_parked_and_pays_the_new_order() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 2, &[]).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let early = Webhook::new("k1", &hold, "pay_1", "succeeded");
    for replayed in ["", "true"] {
        let parked = early.send(sale.client()).await;
        assert_eq!(
            (parked.status, &parked.body),
            (StatusCode::ACCEPTED, &json!({"result": "parked"}))
        );
        assert_eq!(parked.header("idempotent-replayed"), replayed);
    }
    let order = sale
        .client()
        .post("/api/orders", &[], &json!({"hold_id": hold}))
        .await;
    assert_eq!(
        (order.status, &order.body["status"]),
        (StatusCode::CREATED, &json!("paid"))
    );
    assert_eq!(order.body["payment_id"], "pay_1");
    let again = early.send(sale.client()).await;
    assert_eq!(
        (again.status, &again.body),
        (StatusCode::ACCEPTED, &json!({"result": "parked"})),
        "the replay differs"
    );
    assert_eq!(stock_of(&sale, product).await, [8, 0, 2]);
}

#[tokio::test]
async fn parked_payment_of_an_ended_hold_is_refunded() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 2, &[]).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        Webhook::new("k1", &hold, "pay_1", "succeeded")
            .send(sale.client())
            .await
            .body["result"],
        "parked"
    );
    sale.client().delete(&format!("/api/holds/{hold}")).await;
    let listed = sale.admin_get("/api/admin/refunds").await.body["refunds"].clone();
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(
        (&listed[0]["payment_id"], &listed[0]["refund_reason"]),
        (&json!("pay_1"), &json!("hold_ended"))
    );
    let later = Webhook::new("k2", &hold, "pay_2", "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(
        (later.status, &later.body["result"]),
        (StatusCode::OK, &json!("refund_due"))
    );
    let unknown = Webhook::new(
        "k3",
        "01a205c9-8f56-8cc1-9b7d-29b3ac88daff",
        "pay_3",
        "succeeded",
    )
    .send(sale.client())
    .await;
    assert_eq!(
        (unknown.status, &unknown.body["result"]),
        (StatusCode::ACCEPTED, &json!("parked"))
    );
}

#[tokio::test]
async fn webhooks_without_a_worker_get_retry_after() {
    let sale = SaleBuilder::default()
        .setting("REQUEST_WAIT_MS", "300")
        .start()
        .await;
    let mut sale = sale;
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    sale.workers.remove(0).crash().await;
    let paid = Webhook::new("k1", &order, "pay_1", "succeeded");
    for _ in 0..2 {
        let answer = paid.send(sale.client()).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
        assert_eq!(answer.header("retry-after"), "1");
    }
    sale.start_worker().await;
    let answer = until("the webhook to be accepted", async || {
        Some(paid.send(sale.client()).await)
            .filter(|answer| answer.status != StatusCode::SERVICE_UNAVAILABLE)
    })
    .await;
    assert_result(&answer, "processed", "paid");
    assert_eq!(
        sale.count("SELECT count(*) FROM payments WHERE arrival >= $1", 0)
            .await,
        1
    );
}
