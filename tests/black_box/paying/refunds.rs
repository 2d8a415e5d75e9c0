//! Tests of refund requests: each is repeated with one id until the receiver accepts it.

use std::sync::Arc;

use holdfast_tests::{
    Sale, SaleBuilder, Webhook, assert_invariants, metric_sum, until, until_metric,
};
use serde_json::{Value, json};

use crate::paying::receiver::{Behaviour, Receiver, RunningReceiver, any_port};

const SECRET: &str = "whsec_c2VjcmV0LWZvci1yZWZ1bmRzLWluLXRlc3Rz";

async fn overpaid(sale: &Sale) -> String {
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    Webhook::new("k1", &order, "pay_1", "succeeded")
        .send(sale.client())
        .await;
    Webhook::new("k2", &order, "pay_2", "succeeded")
        .with("amount_minor", json!(9999))
        .send(sale.client())
        .await;
    order
}

#[tokio::test]
async fn refund_is_requested_with_one_id_until_accepted() {
    let receiver = Receiver::new([Behaviour::Fail; 2]);
    let listening = RunningReceiver::start(any_port(), Arc::clone(&receiver)).await;
    let settings = SaleBuilder::default()
        .worker_http()
        .setting("REFUND_URL", &listening.url())
        .setting("REFUND_SECRET", SECRET);
    let mut sale = settings.start().await;
    let order = overpaid(&sale).await;
    until("the refund to be requested", async || {
        let shown = sale
            .client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body;
        (shown["refund_status"] == "requested").then_some(())
    })
    .await;
    let worker = sale.worker_client().await;
    for (result, times) in [("accepted", 1.0), ("failed", 2.0)] {
        assert_eq!(
            metric_sum(
                &worker,
                "holdfast_refund_requests_total",
                &[("result", result)]
            )
            .await,
            times,
            "{result}"
        );
    }
    let receiver = receiver.lock().unwrap();
    assert_eq!(
        receiver.accepted.values().collect::<Vec<_>>(),
        [&1],
        "the refund was not accepted exactly once under one id"
    );
    let (headers, body) = receiver.last.as_ref().unwrap();
    let signed = standardwebhooks::Webhook::new(SECRET)
        .unwrap()
        .verify(body, headers);
    assert!(signed.is_ok(), "{signed:?}");
    let body: Value = serde_json::from_slice(body).unwrap();
    assert_eq!(
        (&body["payment_id"], &body["amount_minor"]),
        (&json!("pay_2"), &json!(9999))
    );
    assert_eq!(
        (&body["order_id"], &body["reason"]),
        (&json!(order), &json!("already_paid"))
    );
}

#[tokio::test]
async fn unreliable_receiver_accepts_each_refund_once() {
    let behaviours = [
        &[Behaviour::Fail; 5][..],
        &[Behaviour::Hang],
        &[Behaviour::Fail; 2],
    ]
    .concat();
    let receiver = Receiver::new(behaviours);
    let listening = RunningReceiver::start(any_port(), Arc::clone(&receiver)).await;
    let mut sale = SaleBuilder::default()
        .setting("REFUND_URL", &listening.url())
        .setting("REFUND_SECRET", SECRET)
        .start()
        .await;
    let product = sale.product(10).await;
    for number in 0..3 {
        let order = sale.order(product, 1).await;
        for payment in ["pay_1", "pay_2"] {
            let key = format!("{number}-{payment}");
            let answer = Webhook::new(&key, &order, payment, "succeeded")
                .send(sale.client())
                .await;
            assert!(answer.status.is_success(), "{answer:?}");
        }
    }
    until("the receiver to hang", async || {
        (receiver.lock().unwrap().hung == 1).then_some(())
    })
    .await;
    // The worker and the receiver restart; the receiver keeps the accepted refunds.
    let address = listening.address;
    drop(listening);
    sale.workers.remove(0).crash().await;
    let _listening = RunningReceiver::start(address, Arc::clone(&receiver)).await;
    sale.start_worker().await;
    let requested = "SELECT count(*) FROM payments JOIN orders USING (slot, order_id)
                     WHERE payments.state = 'refund_requested' AND product_id = $1";
    until("every refund to be requested", async || {
        (sale.count(requested, product).await == 3).then_some(())
    })
    .await;
    let accepted = receiver.lock().unwrap().accepted.clone();
    assert_eq!(
        accepted.values().collect::<Vec<_>>(),
        [&1; 3],
        "not three ids, each accepted once"
    );
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn refunds_stay_due_without_a_url() {
    let sale = SaleBuilder::default().worker_http().start().await;
    let order = overpaid(&sale).await;
    assert_eq!(
        sale.client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body["refund_status"],
        "due"
    );
    assert_eq!(
        sale.count(
            "SELECT count(*) FROM payments WHERE state = 'refund_due' AND arrival >= $1",
            0
        )
        .await,
        1
    );
    sqlx::query("UPDATE payments SET received_at = received_at - interval '1 hour'")
        .execute(&sale.pool)
        .await
        .unwrap();
    until_metric(
        sale.client(),
        "holdfast_oldest_refund_due_seconds",
        &[],
        |age| age > 3600.0,
    )
    .await;
}
