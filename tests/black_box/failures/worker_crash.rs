//! Test of a worker that is killed in the middle of a sale: all replies stay true, and every request ends.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::StreamExt;
use futures_util::stream;
use holdfast_tests::{Sale, SaleBuilder, until};
use reqwest::StatusCode;

use crate::buying::requests::done;

const HOLDS: usize = 5000;
const STOCK: i64 = 4000;
const AT_ONCE: usize = 200;

#[tokio::test]
async fn worker_killed_amid_5000_holds_loses_nothing() {
    let mut sale = SaleBuilder::default()
        .setting("REQUEST_WAIT_MS", "500")
        .start()
        .await;
    let product = sale.product(STOCK).await;
    let client = sale.client().clone();
    let answered = AtomicUsize::new(0);
    let buying = async {
        let requests = (0..HOLDS).map(|_| async {
            let answer = client.hold(product, 1, &[]).await;
            answered.fetch_add(1, Ordering::Relaxed);
            answer
        });
        stream::iter(requests)
            .buffer_unordered(AT_ONCE)
            .collect::<Vec<_>>()
            .await
    };
    let killing = async {
        until("some holds", async || {
            (answered.load(Ordering::Relaxed) > HOLDS / 5).then_some(())
        })
        .await;
        sale.workers.remove(0).crash().await;
        sale.start_worker().await;
    };
    let (answers, ()) = futures_util::join!(buying, killing);

    let (mut held, mut refused) = (Vec::new(), 0);
    for answer in answers {
        let (status, body) = match answer.status {
            StatusCode::ACCEPTED => {
                let response = done(&client, answer.header("location")).await;
                (
                    response["status"].as_u64().unwrap(),
                    response["body"].clone(),
                )
            }
            status => (status.as_u16().into(), answer.body),
        };
        match status {
            201 => held.push(body["hold_id"].as_str().unwrap().to_owned()),
            409 => refused += 1,
            _ => panic!("{status}: {body}"),
        }
    }
    assert_eq!(
        (held.len() as i64, refused),
        (STOCK, HOLDS - STOCK as usize)
    );
    assert_every_hold_is_a_row(&sale, product, held).await;
}

async fn assert_every_hold_is_a_row(sale: &Sale, product: i64, mut held: Vec<String>) {
    let rows =
        sqlx::query_scalar("SELECT hold_id::text FROM holds WHERE product_id = $1").bind(product);
    let mut rows: Vec<String> = rows.fetch_all(&sale.pool).await.unwrap();
    held.sort_unstable();
    rows.sort_unstable();
    assert!(
        held == rows,
        "{} holds accepted, {} rows",
        held.len(),
        rows.len()
    );
    assert_eq!(
        sale.count(
            "SELECT held_stock FROM products WHERE product_id = $1",
            product
        )
        .await,
        STOCK
    );
    assert_eq!(
        sale.count(
            "SELECT max(sequence) FROM holds WHERE product_id = $1",
            product
        )
        .await,
        STOCK
    );
}
