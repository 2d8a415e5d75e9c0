//! Tests of `holdfast seed`, which creates demo products.

use std::collections::BTreeSet;

use holdfast_tests::{Sale, SaleBuilder, assert_invariants};
use reqwest::StatusCode;
use serde_json::json;

#[tokio::test]
async fn seed_adds_products_and_keeps_the_existing_ones() {
    let sale = Sale::start().await;
    let own = sale.product(10).await;
    let arguments = [
        "seed",
        "--products",
        "40",
        "--stock",
        "7",
        "--price-minor",
        "1200",
        "--currency",
        "EUR",
        "--json",
    ];
    let (code, added) = sale.operator(&arguments).await;
    assert_eq!((code, added.len()), (0, 40), "{added:?}");
    let ids: BTreeSet<i64> = added
        .iter()
        .map(|product| product["id"].as_i64().unwrap())
        .collect();
    assert!(ids.len() == 40 && !ids.contains(&own), "{ids:?}");
    for product in &added {
        let name = format!("Flash Sale Product {}", product["id"]);
        assert_eq!(
            product,
            &json!({"id": product["id"], "name": name, "total_stock": 7})
        );
    }
    let last = ids.last().unwrap();
    let shown = sale
        .client()
        .get(&format!("/api/products/{last}"))
        .await
        .body;
    assert_eq!(
        [
            &shown["price"],
            &shown["currency"],
            &shown["available_stock"]
        ],
        [&json!(12.0), &json!("EUR"), &json!(7)]
    );
    assert_eq!(
        sale.client().hold(*last, 7, &[]).await.status,
        StatusCode::CREATED
    );
    let audited =
        "SELECT count(*) FROM audit_trail WHERE product_id = $1 AND kind = 'product.created'";
    assert_eq!(sale.count(audited, *last).await, 1);

    let (ended_well, table) = sale
        .holdfast(&["seed", "--products", "1", "--stock", "3"])
        .await;
    assert!(
        ended_well && table.contains("total stock") && table.contains("Flash Sale Product"),
        "{table}"
    );
    let next = sale.product(10).await;
    assert!(next > *last, "an id was used again");
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn seed_with_bad_input_ends_with_exit_code_2() {
    let sale = SaleBuilder::default().start_without_workers().await;
    for (products, stock, currency) in [
        ("0", "1", "USD"),
        ("1", "-1", "USD"),
        ("1", "1", "XYZ"),
        ("x", "1", "USD"),
    ] {
        let stock = format!("--stock={stock}");
        let (code, added) = sale
            .operator(&[
                "seed",
                "--products",
                products,
                &stock,
                "--currency",
                currency,
            ])
            .await;
        assert_eq!((code, added), (2, vec![]), "{products} {stock} {currency}");
    }
    assert_eq!(
        sale.operator(&["seed", "--products", "1", "--stock", "1", "--json"])
            .await,
        (2, vec![]),
        "no worker"
    );
}
