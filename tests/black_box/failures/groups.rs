//! Tests of batches of several partitions in one transaction (group commit): a failure of one batch fails no other.

use std::collections::BTreeMap;

use futures_util::join;
use holdfast_common::partition_of_slot;
use holdfast_tests::{Client, PARTITIONS, Sale, SaleBuilder, assert_invariants, metric_sum, until};
use reqwest::StatusCode;
use sqlx::{Postgres, Transaction};

use crate::buying::requests::done;

const LATER: &[(&str, &str)] = &[("prefer", "respond-async")];

/// Creates one product in each partition.
async fn products(sale: &Sale) -> Vec<i64> {
    let mut products = BTreeMap::new();
    while products.len() < usize::from(PARTITIONS) {
        let product = sale.product(10).await;
        let partition = concat!(
            "SELECT (",
            partition_of_slot!("slot", "4"),
            ")::bigint FROM products WHERE product_id = $1"
        );
        products.insert(sale.count(partition, product).await, product);
    }
    products.into_values().collect()
}

/// Delayed transactions. The batches of other partitions wait behind them and form a group.
struct DelayedCommits<'s> {
    sale: &'s Sale,
    worker: Client,
    lock: Transaction<'static, Postgres>,
}

impl<'s> DelayedCommits<'s> {
    /// Delays the commits of the first two partitions, each with a hold of its product.
    async fn begin(sale: &'s Sale, worker: Client, products: &[i64]) -> Self {
        let mut lock = sale.pool.begin().await.unwrap();
        sqlx::query("SELECT FROM partitions WHERE partition < 2 FOR UPDATE")
            .execute(&mut *lock)
            .await
            .unwrap();
        for (waiting, product) in (1..).zip(&products[..2]) {
            assert_eq!(
                sale.client().hold(*product, 1, LATER).await.status,
                StatusCode::ACCEPTED
            );
            let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
                         AND wait_event_type = 'Lock' AND query LIKE 'WITH moved%' AND $1 > 0";
            until("a commit to wait", async || {
                (sale.count(waits, 1).await == waiting).then_some(())
            })
            .await;
        }
        Self { sale, worker, lock }
    }

    /// Requests a hold, and waits until the worker has fetched it; returns its status URL.
    async fn hold(&self, partition: &str, product: i64) -> String {
        let queued = self.sale.client().hold(product, 1, LATER).await;
        assert_eq!(queued.status, StatusCode::ACCEPTED, "{queued:?}");
        until("the worker to fetch the hold", async || {
            let backlog = metric_sum(
                &self.worker,
                "holdfast_backlog_envelopes",
                &[("partition", partition)],
            )
            .await;
            (backlog == 1.0).then_some(())
        })
        .await;
        queued.header("location").to_owned()
    }
}

#[tokio::test]
async fn poison_command_fails_no_other_partition() {
    let mut sale = SaleBuilder::default().worker_http().start().await;
    let worker = sale.worker_client().await;
    let products = products(&sale).await;
    sqlx::query("UPDATE products SET currency = '???' WHERE product_id = $1")
        .bind(products[3])
        .execute(&sale.pool)
        .await
        .unwrap();
    let delayed = DelayedCommits::begin(&sale, worker, &products).await;
    let (good, bad) = (
        delayed.hold("2", products[2]).await,
        delayed.hold("3", products[3]).await,
    );
    delayed.lock.commit().await.unwrap();
    let (good, bad) = join!(done(sale.client(), &good), done(sale.client(), &bad));
    assert_eq!(
        (good["status"].as_u64(), bad["status"].as_u64()),
        (Some(201), Some(500))
    );
    assert_eq!(
        sale.count("SELECT count(*) FROM dead_letters WHERE $1 > 0", 1)
            .await,
        1
    );
    sqlx::query("UPDATE products SET currency = 'USD'")
        .execute(&sale.pool)
        .await
        .unwrap();
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn lost_partition_does_not_block_its_group() {
    let mut sale = SaleBuilder::default().worker_http().start().await;
    let worker = sale.worker_client().await;
    let products = products(&sale).await;
    let delayed = DelayedCommits::begin(&sale, worker, &products).await;
    let (kept, lost) = (
        delayed.hold("2", products[2]).await,
        delayed.hold("3", products[3]).await,
    );
    let position = "SELECT applied_seq FROM partitions WHERE partition = $1";
    let before = sale.count(position, 3).await;
    // Another worker owns the partition for the rest of this test.
    sqlx::query(
        "UPDATE partitions SET epoch = epoch + 1, owner = 'another', lease_until = 'infinity' WHERE partition = 3",
    )
    .execute(&sale.pool)
    .await
    .unwrap();
    delayed.lock.commit().await.unwrap();
    assert_eq!(
        done(sale.client(), &kept).await["status"],
        201,
        "the partition was not applied"
    );
    until("the worker to give up the lost partition", async || {
        sale.workers[0]
            .output()
            .contains("another worker has the partition")
            .then_some(())
    })
    .await;
    assert_eq!(
        sale.count(position, 3).await,
        before,
        "the worker moved a partition that it does not own"
    );
    assert_eq!(
        sale.count(
            "SELECT count(*) FROM holds WHERE product_id = $1",
            products[3]
        )
        .await,
        0
    );
    sqlx::query(
        "UPDATE partitions SET owner = NULL, lease_until = '-infinity' WHERE partition = 3",
    )
    .execute(&sale.pool)
    .await
    .unwrap();
    assert_eq!(
        done(sale.client(), &lost).await["status"],
        201,
        "the next owner did not apply the command"
    );
    assert_invariants(&sale.pool).await;
}
