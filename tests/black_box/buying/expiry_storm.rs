//! Test of many holds that expire within the same seconds, while NATS and the worker restart.

use futures_util::{StreamExt, stream};
use holdfast_tests::{Sale, SaleBuilder, assert_invariants, start_stack, until};
use reqwest::StatusCode;

/// A debug build can make this number of holds before the first expires. `HOLDFAST_STORM_HOLDS` sets another number.
const HOLDS: usize = 5000;
const CONCURRENT: usize = 256;
const HOLD_EXPIRY_SECONDS: &str = "20";

async fn make_holds(sale: &Sale, product: i64, holds: usize) {
    let answers =
        stream::iter(0..holds).map(async |_| sale.client().hold(product, 1, &[]).await.status);
    let answers: Vec<_> = answers.buffer_unordered(CONCURRENT).collect().await;
    assert!(answers.iter().all(|status| *status == StatusCode::CREATED));
}

/// The number of tickets that were ever stored.
async fn tickets(sale: &Sale, nats_url: &str) -> i64 {
    let jetstream = async_nats::jetstream::new(async_nats::connect(nats_url).await.unwrap());
    let stream = jetstream
        .get_stream(format!("{}-expiry", sale.name))
        .await
        .unwrap();
    stream.cached_info().state.last_sequence.cast_signed()
}

async fn expired(sale: &Sale, product: i64) -> i64 {
    sale.count(
        "SELECT count(*) FROM holds WHERE product_id = $1 AND status = 'expired'",
        product,
    )
    .await
}

#[tokio::test]
async fn holds_due_together_expire_despite_restarts() {
    let holds = std::env::var("HOLDFAST_STORM_HOLDS").map_or(HOLDS, |holds| holds.parse().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut stack = start_stack(&directory.path().join("stack")).await;
    let builder = SaleBuilder::default().on(&stack, directory.path());
    let mut sale = builder
        .setting("HOLD_EXPIRY_SECONDS", HOLD_EXPIRY_SECONDS)
        .start()
        .await;
    let product = sale.product(holds as i64).await;
    make_holds(&sale, product, holds).await;
    let seconds = "SELECT count(DISTINCT ceil(extract(epoch FROM expires_at))) FROM holds WHERE product_id = $1";
    let seconds = sale.count(seconds, product).await;
    let stored = tickets(&sale, stack.nats_url()).await;
    assert!(
        stored <= seconds,
        "{stored} tickets for {seconds} seconds of one partition"
    );

    until("the first holds to expire", async || {
        (expired(&sale, product).await > 0).then_some(())
    })
    .await;
    let nats = stack.nats_mut().unwrap();
    nats.kill().await.unwrap();
    nats.start().await.unwrap();
    sale.workers.remove(0).crash().await;
    sale.start_worker().await;
    until("every hold to expire", async || {
        (expired(&sale, product).await == holds as i64).then_some(())
    })
    .await;
    assert_eq!(
        sale.count(
            "SELECT available_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        holds as i64
    );
    assert_invariants(&sale.pool).await;
    assert_eq!(
        tickets(&sale, stack.nats_url()).await,
        stored,
        "the restarts stored more tickets"
    );
    let late = "SELECT (extract(epoch FROM max(ended_at) - max(expires_at)) * 1000)::bigint FROM holds WHERE product_id = $1";
    let due_over = "SELECT (extract(epoch FROM max(expires_at) - min(expires_at)) * 1000)::bigint FROM holds WHERE product_id = $1";
    println!(
        "{holds} holds due within {} ms, {stored} tickets; the last hold expired {} ms after it was due",
        sale.count(due_over, product).await,
        sale.count(late, product).await
    );
    drop(sale);
    stack.stop().await.unwrap();
}
