//! Tests of the end of the stock: all units are held, none twice, in the order of the log.

use std::collections::HashMap;

use futures_util::future::join_all;
use holdfast_tests::{Answer, Sale, SaleBuilder};
use reqwest::StatusCode;

/// The accepted and refused holds of a product.
#[derive(Default)]
struct HoldResults {
    units: i64,
    sequences: Vec<i64>,
    refusals: usize,
}

impl HoldResults {
    fn add(&mut self, answer: &Answer) {
        match answer.status {
            StatusCode::CREATED => {
                self.units += answer.body["quantity"].as_i64().unwrap();
                self.sequences
                    .push(answer.body["sequence"].as_i64().unwrap());
            }
            StatusCode::CONFLICT => {
                assert_eq!(answer.problem(), "insufficient_stock");
                assert!(answer.body["available_stock"].is_i64(), "{answer:?}");
                self.refusals += 1;
            }
            _ => panic!("{answer:?}"),
        }
    }
}

#[tokio::test]
async fn last_units_are_not_oversold() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let answers = join_all((0..20).map(|_| sale.client().hold(product, 1, &[]))).await;
    let mut results = HoldResults::default();
    answers.iter().for_each(|answer| results.add(answer));
    assert_eq!((results.units, results.refusals), (10, 10));
    assert_tables_agree(&sale, product, 10, &mut results).await;
}

#[tokio::test]
async fn mixed_quantities_on_two_ingresses_are_not_oversold() {
    let sale = SaleBuilder::default().ingresses(2).start().await;
    let products = [sale.product(100).await, sale.product(100).await];
    let requests = (0..2000_usize).map(|number| {
        let client = &sale.clients[number % 2];
        let (product, quantity) = (products[number / 2 % 2], 1 + (number / 4 % 3) as i64);
        async move { (product, client.hold(product, quantity, &[]).await) }
    });
    let mut tallies: HashMap<i64, HoldResults> = HashMap::new();
    for (product, answer) in join_all(requests).await {
        tallies.entry(product).or_default().add(&answer);
    }
    for product in products {
        let results = tallies.get_mut(&product).unwrap();
        // There are enough requests for 1 unit to use up the stock.
        assert_eq!(results.units, 100);
        assert_tables_agree(&sale, product, 100, results).await;
    }
}

#[tokio::test]
async fn equal_quantities_are_won_in_log_order() {
    let sale = SaleBuilder::default()
        .ingresses(2)
        .setting("REQUEST_WAIT_MS", "20000")
        .start_without_workers()
        .await;
    let mut sale = sale;
    // Without a worker, the positions of the requests show the order of the log.
    let product = 1;
    let mut queued = Vec::new();
    for number in 0..60 {
        let answer = sale.clients[number % 2]
            .hold(product, 1, &[("prefer", "respond-async")])
            .await;
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        let url = answer.body["status_url"].as_str().unwrap().to_owned();
        let seq: u64 = url.rsplit_once('=').unwrap().1.parse().unwrap();
        queued.push((seq, url));
    }
    assert!(
        queued.is_sorted(),
        "positions follow the order of acceptance"
    );
    insert_product(&sale, product, 25).await;
    sale.start_worker().await;
    let mut sequences = Vec::new();
    for (position, (_, url)) in queued.iter().enumerate() {
        let response = crate::buying::requests::done(sale.client(), url).await;
        assert_eq!(
            response["status"] == 201,
            position < 25,
            "position {position}: {response}"
        );
        sequences.extend(response["body"]["sequence"].as_i64());
    }
    assert_eq!(sequences, (1..=25).collect::<Vec<_>>());
}

/// Creates a product by SQL, because without a worker no command can create it.
async fn insert_product(sale: &Sale, product: i64, stock: i64) {
    let slot = holdfast_common::id::ProductId(product).slot();
    sqlx::query(
        "INSERT INTO products (slot, product_id, name, price_minor, currency, total_stock, available_stock, held_stock,
             sold_stock, holds_count, hold_sequence, version, updated_at)
         VALUES ($1, $2, 'Lamp', 1, 'USD', $3, $3, 0, 0, 0, 0, 1, now())",
    )
    .bind(slot.as_i16())
    .bind(product)
    .bind(stock)
    .execute(&sale.pool)
    .await
    .unwrap();
}

/// Checks that the product's row, the sum of its holds and the clients' replies agree.
async fn assert_tables_agree(sale: &Sale, product: i64, total: i64, results: &mut HoldResults) {
    results.sequences.sort_unstable();
    let granted = results.sequences.len() as i64;
    assert_eq!(
        results.sequences,
        (1..=granted).collect::<Vec<_>>(),
        "sequences have gaps or repeats"
    );
    let count = async |query| sale.count(query, product).await;
    assert_eq!(
        count("SELECT held_stock FROM products WHERE product_id = $1").await,
        results.units
    );
    assert_eq!(
        count("SELECT held_stock + available_stock FROM products WHERE product_id = $1").await,
        total
    );
    assert_eq!(
        count("SELECT sum(quantity) FROM holds WHERE product_id = $1 AND status = 'active'").await,
        results.units
    );
    assert_eq!(
        count("SELECT count(DISTINCT sequence) FROM holds WHERE product_id = $1").await,
        granted
    );
    let shown = sale
        .client()
        .get(&format!("/api/products/{product}"))
        .await
        .body;
    assert_eq!(
        (&shown["held_stock"], &shown["available_stock"]),
        (&results.units.into(), &(total - results.units).into())
    );
    assert_eq!(shown["holds_count"], granted);
}
