//! Tests of a worker that crashes at each step of the batch cycle: all replies stay true, and no command has two effects.

use futures_util::future::join_all;
use holdfast_tests::{Answer, Sale, SaleBuilder, Webhook, assert_invariants, metric_sum, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::buying::requests::done;

const POINTS: [&str; 6] = ["fetch", "load", "write", "ticket", "commit", "reply"];
/// The worker crashes when it passes the point for this time. By then it has handled the due holds of each partition, and is
/// in the middle of the buyers' commands.
const TIME: u32 = 6;
const BUYERS: usize = 12;

/// The outcome of a request; polls after a 202.
async fn ended(sale: &Sale, answer: Answer) -> (u64, Value) {
    if answer.status == StatusCode::ACCEPTED && answer.body["status"] == "queued" {
        let response = done(sale.client(), answer.header("location")).await;
        return (
            response["status"].as_u64().unwrap(),
            response["body"].clone(),
        );
    }
    (answer.status.as_u16().into(), answer.body)
}

/// Buys a unit: a hold, its order, and its payment. The webhook is repeated until it is accepted.
async fn buy(sale: &Sale, product: i64, buyer: usize) -> String {
    let key = format!("buyer-{buyer}");
    let (status, hold) = ended(
        sale,
        sale.client()
            .hold(product, 1, &[("idempotency-key", &key)])
            .await,
    )
    .await;
    assert_eq!(status, 201, "{hold}");
    let id = hold["hold_id"].as_str().unwrap().to_owned();
    let order = json!({"hold_id": id});
    let headers = [("idempotency-key", &*key)];
    let (status, order) = ended(
        sale,
        sale.client().post("/api/orders", &headers, &order).await,
    )
    .await;
    assert_eq!(status, 201, "{order}");
    let paid = Webhook::new(&id, &id, &id, "succeeded");
    let answer = until("the payment to be accepted", async || {
        Some(paid.send(sale.client()).await)
            .filter(|answer| answer.status != StatusCode::SERVICE_UNAVAILABLE)
    })
    .await;
    assert_eq!(
        (answer.status, &answer.body["order_status"]),
        (StatusCode::OK, &json!("paid")),
        "{answer:?}"
    );
    id
}

#[tokio::test]
async fn worker_killed_at_any_step_of_a_batch_loses_nothing() {
    let mut sale = SaleBuilder::default()
        .setting("REQUEST_WAIT_MS", "500")
        .setting("PARTITION_LEASE_MS", "800")
        .start_without_workers()
        .await;
    sale.start_worker().await;
    let product = sale.product(1000).await;
    let mut sold = 0;
    for point in POINTS {
        sale.workers.remove(0).crash().await;
        let mut dying = sale.worker_with(&[("HOLDFAST_CRASH_AT", &format!("{point}:{TIME}"))]);
        let crashing = async {
            assert!(!dying.ended().await, "{}", dying.output());
            assert!(
                dying.output().contains(&format!("crash point {point}")),
                "{}",
                dying.output()
            );
            sale.worker_with(&[])
        };
        let buying = join_all((0..BUYERS).map(|buyer| buy(&sale, product, sold + buyer)));
        let (successor, ids) = futures_util::join!(crashing, buying);
        sale.workers.push(successor);
        sold += ids.len();
        assert_eq!(
            sale.count(
                "SELECT sold_stock FROM products WHERE product_id = $1",
                product
            )
            .await,
            sold as i64
        );
        assert_invariants(&sale.pool).await;
    }
    let due = "SELECT count(*) FROM holds WHERE product_id = $1 AND status <> 'consumed'";
    assert_eq!(
        sale.count(due, product).await,
        0,
        "a key made a second hold"
    );
}

#[tokio::test]
async fn lost_replies_are_sent_by_the_next_owner() {
    let sale = SaleBuilder::default()
        .setting("REQUEST_WAIT_MS", "30000")
        .setting("PARTITION_LEASE_MS", "800")
        // Without due holds, no other batch is committed first.
        .setting("PARTITIONS", "1")
        .start_without_workers()
        .await;
    let first = sale.worker_with(&[]);
    let product = sale.product(10).await;
    first.crash().await;
    // The worker crashes after its first commit, which applies the waiting request.
    let holding = sale.client().hold(product, 1, &[]);
    let crashing = async {
        let waiting = async || metric_sum(sale.client(), "holdfast_requests_waiting", &[]).await;
        until("the request to be in the log", async || {
            (waiting().await > 0.0).then_some(())
        })
        .await;
        let mut dying = sale.worker_with(&[("HOLDFAST_CRASH_AT", "commit:1")]);
        assert!(!dying.ended().await, "{}", dying.output());
        sale.worker_with(&[])
    };
    let (held, successor) = futures_util::join!(holding, crashing);
    assert_eq!(held.status, StatusCode::CREATED, "{held:?}");
    let sent_again = metric_sum(sale.client(), "holdfast_missed_replies_total", &[]).await;
    assert_eq!(sent_again, 1.0, "{}", successor.output());
}
