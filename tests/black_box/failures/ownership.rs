//! Tests of ownership: several workers share the partitions, and take over from each other.

use std::collections::BTreeMap;

use holdfast_tests::{Sale, SaleBuilder, assert_invariants, until};
use nix::sys::signal::Signal;
use reqwest::StatusCode;

/// The number of partitions of each live owner, in descending order.
async fn shares(sale: &Sale) -> Vec<i64> {
    let owned = "SELECT owner, count(*) FROM partitions WHERE owner IS NOT NULL AND lease_until > now() GROUP BY owner";
    let owned: Vec<(String, i64)> = sqlx::query_as(owned).fetch_all(&sale.pool).await.unwrap();
    let owned: BTreeMap<String, i64> = owned.into_iter().collect();
    let mut shares: Vec<_> = owned.into_values().collect();
    shares.sort_unstable_by(|a, b| b.cmp(a));
    shares
}

async fn are_shared(sale: &Sale, expected: &[i64]) {
    until(&format!("shares of {expected:?}"), async || {
        (shares(sale).await == expected).then_some(())
    })
    .await;
}

/// Buys one unit of each product. The products are in different partitions.
async fn buy(sale: &Sale, products: &[i64]) {
    for product in products {
        let hold = sale.client().hold(*product, 1, &[]).await;
        assert_eq!(hold.status, StatusCode::CREATED, "{hold:?}");
    }
}

#[tokio::test]
async fn partitions_are_shared_evenly_as_workers_come_and_go() {
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

    // One worker stops, one crashes, and one freezes until it is replaced.
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
    until("the leases to expire", async || {
        shares(&sale).await.is_empty().then_some(())
    })
    .await;
    let (ended_well, listed) = sale.holdfast(&["partitions"]).await;
    assert!(
        !ended_well && listed.contains("4 partitions have no worker"),
        "{listed}"
    );
}

#[tokio::test]
async fn partition_that_was_not_released_is_taken_again() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    // As if each partition had lost its task, and Postgres had been down when the worker released it.
    let orphaned =
        "UPDATE partitions SET epoch = epoch + 1, lease_until = now() + interval '1 hour'";
    sqlx::query(orphaned).execute(&sale.pool).await.unwrap();
    until("a hold to be made", async || {
        (sale.client().hold(product, 1, &[]).await.status == StatusCode::CREATED).then_some(())
    })
    .await;
}

/// Delays the first batch that reads due orders, until the test releases it.
const HOLD_UP: &str = "
    CREATE SEQUENCE looks;
    CREATE FUNCTION may_be_seen() RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$ BEGIN
        IF current_query() LIKE '(SELECT hold_id FROM holds WHERE status%' AND nextval('looks') = 1 THEN
            PERFORM pg_advisory_xact_lock_shared(1);
        END IF;
        RETURN true;
    END $$;
    ALTER TABLE orders ENABLE ROW LEVEL SECURITY;
    CREATE POLICY look ON orders USING (may_be_seen())";

#[tokio::test]
async fn replaced_worker_does_not_decide_on_stale_reads() {
    let settings = SaleBuilder::default()
        .setting("PARTITIONS", "1")
        .setting("PARTITION_LEASE_MS", "800");
    let sale = settings.start_without_workers().await;
    let first = sale.worker_with(&[]);
    let product = sale.product(5).await;
    let order = sale.order(product, 1).await;
    let hold = sale.client().hold(product, 1, &[]).await;
    first.crash().await;
    sqlx::query("UPDATE orders SET payment_due_at = now() - interval '1 minute'")
        .execute(&sale.pool)
        .await
        .unwrap();
    sqlx::raw_sql(HOLD_UP).execute(&sale.pool).await.unwrap();
    let mut reading = sale.pool.begin().await.unwrap();
    sqlx::query("SELECT pg_advisory_xact_lock(1)")
        .execute(&mut *reading)
        .await
        .unwrap();

    // One batch releases the hold and cancels the due order. The first worker freezes after it has read the hold; before it
    // reads the order, another worker has committed both.
    let replacing = async {
        let mut slow = sale.worker_with(&[]);
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                     AND wait_event = 'advisory' AND $1 > 0";
        until("a worker to be delayed", async || {
            assert_eq!(slow.has_ended(), None, "{}", slow.output());
            (sale.count(waits, product).await > 0).then_some(())
        })
        .await;
        slow.signal(Signal::SIGSTOP);
        (slow, sale.worker_with(&[]))
    };
    let giving_back = sale.client().delete(hold.header("location"));
    let (released, (mut slow, _successor)) = futures_util::join!(giving_back, replacing);
    assert_eq!(
        (released.status, &released.body["status"]),
        (StatusCode::OK, &"released".into()),
        "{released:?}"
    );
    assert_eq!(
        sale.client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body["status"],
        "cancelled"
    );
    reading.commit().await.unwrap();
    slow.signal(Signal::SIGCONT);
    slow.line("another worker has the partition").await;
    assert!(!slow.output().contains("panic"), "{}", slow.output());
    assert_invariants(&sale.pool).await;
}
