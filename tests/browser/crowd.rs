//! A thousand buyers for a hundred units, and the proof. Only `holdfast dev` lets them in.

use holdfast_tests::{SaleBuilder, assert_invariants};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use super::browser::in_browser;
use super::dev::Dev;
use super::pictures::{is_pictured, looks_right};

#[tokio::test]
async fn a_thousand_buyers_for_a_hundred_units_end_with_a_proof() {
    let dev = Dev::start().await;
    let pool = PgPool::connect(dev.stack["database_url"].as_str().unwrap())
        .await
        .unwrap();
    in_browser(&dev.address, async |tab| {
        tab.go("/").await;
        tab.choose("A crowd").await;
        looks_right(&tab).await;
        tab.note("main button").await;
        tab.choose("Let them come").await;
        tab.sees("[aria-labelledby], [aria-label='The crowd']", "holds")
            .await;
        looks_right(&tab).await;
        tab.sees(".proof", "100 in all").await;
        let noted = tab.noted().await;
        assert!(
            noted.iter().any(|text| text.contains("They are buying")),
            "{noted:?}"
        );
        let proofs =
            "return [...document.querySelectorAll('[data-proof]')].map((one) => one.dataset.proof)";
        assert_eq!(
            tab.script(proofs, Vec::new()).await,
            json!(["true", "true", "true", "true"])
        );
        is_pictured(&tab, "store-crowd").await;
        // Product 1 is the one that was there at first.
        let sold = "SELECT sold_stock FROM products WHERE product_id = 2";
        let sold: i64 = sqlx::query_scalar(sold).fetch_one(&pool).await.unwrap();
        tab.sees("[data-crowd=paid]", &sold.to_string()).await;
        assert_invariants(&pool).await;
    })
    .await;
    pool.close().await;
    dev.end().await;
}

#[tokio::test]
async fn a_server_with_a_demo_store_lets_no_crowd_in() {
    let sale = SaleBuilder::default().demo_store().start().await;
    let crowd = json!({"buyers": 1, "units": 1});
    assert_eq!(
        sale.client().post("/demo/crowd", &[], &crowd).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        sale.client().get("/demo/crowd").await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(sale.client().get("/").await.status, StatusCode::OK);
    in_browser(sale.client().address(), async |tab| {
        tab.go("/?crowd").await;
        tab.is_at("On sale").await;
        let links =
            "return [...document.querySelectorAll('nav a')].map((link) => link.textContent)";
        assert_eq!(tab.script(links, Vec::new()).await, json!(["Products"]));
    })
    .await;
}
