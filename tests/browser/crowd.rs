//! A thousand buyers for a hundred units, and the proof.

use holdfast_tests::{SaleBuilder, assert_invariants};

use super::browser::in_browser;
use super::pictures::{is_pictured, looks_right};

#[tokio::test]
async fn a_thousand_buyers_for_a_hundred_units_end_with_a_proof() {
    let sale = SaleBuilder::default().demo_store().start().await;
    in_browser(sale.client().address(), async |tab| {
        tab.go("/?crowd").await;
        looks_right(&tab).await;
        tab.note("main button").await;
        tab.choose("Let them come").await;
        tab.sees("[aria-labelledby], [aria-label='The crowd']", "holds").await;
        looks_right(&tab).await;
        tab.sees(".proof", "100 in all").await;
        let noted = tab.noted().await;
        assert!(noted.iter().any(|text| text.contains("They are buying")), "{noted:?}");
        let proofs = "return [...document.querySelectorAll('[data-proof]')].map((one) => one.dataset.proof)";
        assert_eq!(tab.script(proofs, Vec::new()).await, serde_json::json!(["true", "true", "true", "true"]));
        is_pictured(&tab, "store-crowd").await;
        let sold = sale.count("SELECT sold_stock FROM products WHERE product_id = $1", 1).await;
        tab.sees("[data-crowd=paid]", &sold.to_string()).await;
        assert_invariants(&sale.pool).await;
    })
    .await;
}
