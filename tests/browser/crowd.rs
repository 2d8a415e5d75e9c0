//! The crowd: 1,000 buyers for 100 units, and the checks of the result. Only `holdfast dev` has it.

use holdfast_tests::{SaleBuilder, assert_invariants};
use reqwest::StatusCode;
use serde_json::json;
use sqlx::PgPool;

use super::browser::in_browser;
use super::dev::Dev;
use super::pictures::{assert_usable, take_picture};

#[tokio::test]
async fn the_result_of_a_crowd_passes_all_checks() {
    let dev = Dev::start().await;
    let pool = PgPool::connect(dev.stack["database_url"].as_str().unwrap())
        .await
        .unwrap();
    in_browser(&dev.address, async |tab| {
        tab.go("/").await;
        tab.choose("Crowd").await;
        assert_usable(&tab).await;
        tab.record_texts("main button").await;
        tab.choose("Start the crowd").await;
        tab.sees("[aria-labelledby], [aria-label='The crowd']", "holds")
            .await;
        assert_usable(&tab).await;
        tab.sees(".proof", "100 units").await;
        let texts = tab.recorded_texts().await;
        assert!(
            texts
                .iter()
                .any(|text| text.contains("The crowd is buying")),
            "{texts:?}"
        );
        let proofs =
            "return [...document.querySelectorAll('[data-proof]')].map((one) => one.dataset.proof)";
        assert_eq!(
            tab.script(proofs, Vec::new()).await,
            json!(["true", "true", "true", "true"])
        );
        take_picture(&tab, "store-crowd").await;
        // `holdfast dev` creates product 1 at start, so the crowd's product is 2.
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
async fn a_demo_store_outside_dev_has_no_crowd() {
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
