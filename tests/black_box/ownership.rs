//! Several workers share the partitions, and take over from each other.

use std::collections::BTreeMap;

use holdfast_tests::{Sale, assert_invariants, until};
use nix::sys::signal::Signal;
use reqwest::StatusCode;

/// How many partitions each live worker has, the most first; those without one are left out.
async fn shares(sale: &Sale) -> Vec<i64> {
    let owned = "SELECT owner, count(*) FROM partitions WHERE owner IS NOT NULL AND lease_until > now() GROUP BY owner";
    let owned: Vec<(String, i64)> = sqlx::query_as(owned).fetch_all(&sale.pool).await.unwrap();
    let owned: BTreeMap<String, i64> = owned.into_iter().collect();
    let mut shares: Vec<_> = owned.into_values().collect();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    shares
}

async fn are_shared(sale: &Sale, expected: &[i64]) {
    until(&format!("shares of {expected:?}"), async || (shares(sale).await == expected).then_some(())).await;
}

/// Buys one unit of each of some products, which lie in different partitions.
async fn buy(sale: &Sale, products: &[i64]) {
    for product in products {
        let hold = sale.client().hold(*product, 1, &[]).await;
        assert_eq!(hold.status, StatusCode::CREATED, "{hold:?}");
    }
}

#[tokio::test]
async fn partitions_are_shared_evenly_and_move_when_workers_come_and_go() {
    let mut sale = Sale::start().await;
    let mut products = Vec::new();
    for _ in 0..8 {
        products.push(sale.product(100).await);
    }
    are_shared(&sale, &[4]).await;
    sale.add_worker();
    are_shared(&sale, &[2, 2]).await;
    buy(&sale, &products).await;
    sale.add_worker();
    are_shared(&sale, &[2, 1, 1]).await;
    buy(&sale, &products).await;
    let (ended_well, listed) = sale.holdfast(&["partitions", "--json"]).await;
    assert!(ended_well && listed.lines().count() == 4, "{listed}");

    // One goes as it should, one crashes, and one hangs until it is replaced.
    let mut first = sale.workers.remove(0);
    first.signal(Signal::SIGTERM);
    assert!(first.ended().await, "{}", first.output());
    are_shared(&sale, &[2, 2]).await;
    buy(&sale, &products).await;
    sale.workers.remove(0).crash().await;
    are_shared(&sale, &[4]).await;
    buy(&sale, &products).await;
    sale.workers[0].signal(Signal::SIGSTOP);
    sale.add_worker();
    are_shared(&sale, &[4]).await;
    buy(&sale, &products).await;
    sale.workers[0].signal(Signal::SIGCONT);
    are_shared(&sale, &[2, 2]).await;
    buy(&sale, &products).await;
    assert_invariants(&sale.pool).await;
    for worker in sale.workers.drain(..) {
        worker.crash().await;
    }
    until("the leases to run out", async || shares(&sale).await.is_empty().then_some(())).await;
    let (ended_well, listed) = sale.holdfast(&["partitions"]).await;
    assert!(!ended_well && listed.contains("4 partitions have no worker"), "{listed}");
}

#[tokio::test]
async fn a_partition_that_could_not_be_given_back_is_taken_again() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    // As if each had lost its task, and Postgres had been away when it was to be given back.
    let orphaned = "UPDATE partitions SET epoch = epoch + 1, lease_until = now() + interval '1 hour'";
    sqlx::query(orphaned).execute(&sale.pool).await.unwrap();
    until("a hold to be made", async || {
        (sale.client().hold(product, 1, &[]).await.status == StatusCode::CREATED).then_some(())
    })
    .await;
}
