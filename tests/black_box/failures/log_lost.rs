//! Tests of a NATS that loses its store: positions in the new log are not mistaken for positions in the old log.

use std::time::Duration;

use async_nats::jetstream;
use futures_util::join;
use holdfast_common::log::stream;
use holdfast_common::settings::{LogLayout, NatsAccess, NatsSettings, Secret};
use holdfast_stack::Stack;
use holdfast_tests::{
    Answer, PARTITIONS, Sale, SaleBuilder, SharedStack, Webhook, start_stack, until, until_metric,
};
use reqwest::StatusCode;

use crate::buying::requests::done;

/// Creates the stream of the log, as a worker does.
async fn make_the_log(nats_url: &str, sale: &Sale) {
    let layout = LogLayout {
        subjects: sale.name.parse().unwrap(),
        partitions: PARTITIONS.to_string().parse().unwrap(),
        stream_replicas: 1,
        log_max_mb: 64,
    };
    let client = async_nats::connect(nats_url).await.unwrap();
    let nats_url = Secret::from(nats_url.to_owned());
    let settings = NatsSettings {
        nats_url,
        access: NatsAccess::default(),
        layout,
    };
    stream::open(&jetstream::new(client), &settings)
        .await
        .unwrap();
}

/// Kills NATS, removes its store, starts it, and creates the stream of the log.
async fn lose_the_log(stack: &mut Stack, directory: &std::path::Path, sale: &Sale) {
    let nats = stack.nats_mut().unwrap();
    nats.kill().await.unwrap();
    std::fs::remove_dir_all(directory.join("stack/nats/jetstream")).unwrap();
    nats.start().await.unwrap();
    make_the_log(stack.nats_url(), sale).await;
}

async fn queue(sale: &Sale, product: i64, headers: &[(&str, &str)]) -> Answer {
    let headers = [&[("prefer", "respond-async")], headers].concat();
    until("a position in the log", async || {
        let answer = sale.client().hold(product, 1, &headers).await;
        (answer.status == StatusCode::ACCEPTED).then_some(answer)
    })
    .await
}

#[tokio::test]
async fn requests_of_a_lost_log_are_gone_and_new_ones_queue() {
    let directory = tempfile::tempdir().unwrap();
    let mut stack = start_stack(&directory.path().join("stack")).await;
    let sale = SaleBuilder::default().on(&stack, directory.path());
    let mut sale = sale.setting("REQUEST_WAIT_MS", "300").start().await;
    let product = sale.product(100).await;
    for _ in 0..20 {
        assert_eq!(
            sale.client().hold(product, 1, &[]).await.status,
            StatusCode::CREATED
        );
    }
    let hold = sale.client().hold(product, 1, &[]).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    sale.workers.remove(0).crash().await;
    let lost = queue(&sale, product, &[])
        .await
        .header("location")
        .to_owned();
    let paid = Webhook::new("k1", &hold, "pay_1", "succeeded");
    assert_eq!(
        paid.send(sale.client()).await.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "the webhook was applied without a worker"
    );
    assert_eq!(sale.client().get(&lost).await.body["status"], "queued");
    lose_the_log(&mut stack, directory.path(), &sale).await;

    let kept = queue(&sale, product, &[("idempotency-key", "k")]).await;
    let shown = sale.client().get(kept.header("location")).await;
    assert_eq!(
        (shown.status, &shown.body["status"]),
        (StatusCode::OK, &"queued".into()),
        "the request is not queued in the new log"
    );
    assert!(
        shown.body["position"].as_u64() <= kept.body["position"].as_u64(),
        "the position rose"
    );
    let repeated = queue(&sale, product, &[("idempotency-key", "k")]).await;
    assert_eq!(
        repeated.body["request_id"], kept.body["request_id"],
        "the key is unknown after NATS has lost the keys"
    );
    let gone = sale.client().get(&lost).await;
    assert_eq!(
        (gone.status, gone.problem()),
        (StatusCode::NOT_FOUND, "request_not_found")
    );
    sale.start_worker().await;
    assert_eq!(
        done(sale.client(), kept.header("location")).await["status"],
        201
    );
    until("the repeated webhook to be accepted", async || {
        (paid.send(sale.client()).await.body["result"] == "parked").then_some(())
    })
    .await;
    drop(sale);
    tokio::time::timeout(Duration::from_secs(30), stack.stop())
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn publish_is_retried_until_the_log_accepts_it() {
    let mut sale = SaleBuilder::default()
        .worker_http()
        .setting("REQUEST_WAIT_MS", "60000")
        .start()
        .await;
    let product = sale.product(10).await;
    sale.workers.remove(0).crash().await;
    let nats_url = SharedStack::get().await.nats_url();
    let jetstream = jetstream::new(async_nats::connect(nats_url).await.unwrap());
    jetstream
        .delete_stream(format!("{}-commands", sale.name))
        .await
        .unwrap();
    let back_again = async {
        until_metric(
            sale.client(),
            "holdfast_publish_retries_total",
            &[],
            |retries| retries >= 2.0,
        )
        .await;
        make_the_log(nats_url, &sale).await;
    };
    let (queued, ()) = join!(
        sale.client()
            .hold(product, 1, &[("prefer", "respond-async")]),
        back_again
    );
    assert_eq!(queued.status, StatusCode::ACCEPTED, "{queued:?}");
    sale.start_worker().await;
    assert_eq!(
        done(sale.client(), queued.header("location")).await["status"],
        201
    );
    assert_eq!(
        sale.count("SELECT count(*) FROM holds WHERE product_id = $1", product)
            .await,
        1
    );
}
