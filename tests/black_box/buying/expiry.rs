//! Tests of expiry: the units of expired holds and unpaid orders become available again.

use holdfast_tests::{Answer, Client, Sale, SaleBuilder, metric_sum, until, until_metric};
use reqwest::StatusCode;
use serde_json::json;

async fn available(sale: &Sale, product: i64) -> i64 {
    sale.count(
        "SELECT available_stock FROM products WHERE product_id = $1",
        product,
    )
    .await
}

#[tokio::test]
async fn holds_expire_and_return_their_stock() {
    let mut sale = SaleBuilder::default()
        .worker_http()
        .setting("HOLD_EXPIRY_SECONDS", "1")
        .start()
        .await;
    let product = sale.product(10).await;
    for _ in 0..5 {
        assert_eq!(
            sale.client().hold(product, 2, &[]).await.status,
            StatusCode::CREATED
        );
    }
    until("the stock to be available again", async || {
        (available(&sale, product).await == 10).then_some(())
    })
    .await;
    let shown = until("the stock to be shown", async || {
        let shown = sale
            .client()
            .get(&format!("/api/products/{product}"))
            .await
            .body;
        (shown["available_stock"] == 10).then_some(shown)
    })
    .await;
    assert_eq!(
        (&shown["held_stock"], &shown["holds_count"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(
        sale.count(
            "SELECT count(*) FROM holds WHERE product_id = $1 AND status = 'expired'",
            product
        )
        .await,
        5
    );
    let worker = sale.worker_client().await;
    // The worker counts after the commit.
    until_metric(&worker, "holdfast_expiry_lag_seconds_count", &[], |ended| {
        ended == 5.0
    })
    .await;
    assert!(metric_sum(&worker, "holdfast_expiry_lag_seconds_sum", &[]).await > 0.0);
}

#[tokio::test]
async fn holds_due_without_a_worker_expire_when_one_starts() {
    let mut sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "1")
        .start()
        .await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 10, &[]).await;
    let path = hold.header("location").to_owned();
    sale.workers.remove(0).crash().await;
    until(
        "the hold to be shown as expired without a worker",
        async || (sale.client().get(&path).await.body["status"] == "expired").then_some(()),
    )
    .await;
    let order = json!({"hold_id": hold.body["hold_id"]});
    for headers in [
        &[][..],
        &[("prefer", "respond-async")],
        &[("idempotency-key", "k-1")],
    ] {
        let refused = sale.client().post("/api/orders", headers, &order).await;
        assert_eq!(
            (refused.status, refused.problem()),
            (StatusCode::GONE, "hold_expired")
        );
    }
    sale.start_worker().await;
    until("the stock to be available again", async || {
        (available(&sale, product).await == 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn due_units_return_before_a_buyer_is_refused() {
    let sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "2")
        .start()
        .await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 10, &[]).await;
    let path = hold.header("location").to_owned();
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.problem(),
        "insufficient_stock"
    );
    until("the hold to be expired", async || {
        (sale.client().get(&path).await.body["status"] == "expired").then_some(())
    })
    .await;
    assert_eq!(
        sale.client().hold(product, 10, &[]).await.status,
        StatusCode::CREATED
    );
}

/// Delays the commit of `ending` until the hold is shown as expired, and checks that the hold stays expired.
async fn assert_stays_expired(ending: impl AsyncFn(&Client, &Answer) -> Answer) {
    let settings = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "3")
        .setting("PARTITION_LEASE_MS", "30000");
    let sale = settings.start().await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 1, &[]).await;
    let path = hold.header("location").to_owned();
    // A lock on the partition delays the commit of a command that was decided in time.
    let mut lock = sale.pool.begin().await.unwrap();
    sqlx::query("UPDATE partitions SET owner = owner")
        .execute(&mut *lock)
        .await
        .unwrap();
    let expiring = async {
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event_type = 'Lock' AND query LIKE 'WITH moved%' AND $1 > 0";
        until("the commit to wait", async || {
            (sale.count(waits, product).await > 0).then_some(())
        })
        .await;
        until("the hold to be shown as expired", async || {
            (sale.client().get(&path).await.body["status"] == "expired").then_some(())
        })
        .await;
        lock.commit().await.unwrap();
    };
    let (answer, ()) = futures_util::join!(ending(sale.client(), &hold), expiring);
    assert_eq!(
        (answer.status, answer.problem()),
        (StatusCode::GONE, "hold_expired")
    );
    assert_eq!(sale.client().get(&path).await.body["status"], "expired");
    until("the stock to be available again", async || {
        (available(&sale, product).await == 10).then_some(())
    })
    .await;
}

#[tokio::test]
async fn hold_reported_as_expired_never_becomes_an_order() {
    assert_stays_expired(async |client, hold| {
        client
            .post(
                "/api/orders",
                &[],
                &json!({"hold_id": hold.body["hold_id"]}),
            )
            .await
    })
    .await;
}

#[tokio::test]
async fn hold_reported_as_expired_cannot_be_released() {
    assert_stays_expired(async |client, hold| client.delete(hold.header("location")).await).await;
}
