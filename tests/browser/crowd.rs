//! A thousand buyers for a hundred units, and the proof.

use holdfast_tests::{SaleBuilder, assert_invariants};

use super::browser::in_browser;
use super::pictures::{assert_fits_a_phone, take};

#[tokio::test]
async fn a_thousand_buyers_for_a_hundred_units_end_with_a_proof() {
    let sale = SaleBuilder::default().demo_store().start().await;
    in_browser(sale.client().address(), async |tab| {
        tab.go("/?crowd").await;
        tab.choose("Let them come").await;
        tab.sees("form, main button", "They are buying").await;
        tab.sees("[aria-labelledby], [aria-label='The crowd']", "holds").await;
        tab.sees(".proof", "100 in all").await;
        let proofs = "return [...document.querySelectorAll('[data-proof]')].map((one) => one.dataset.proof)";
        assert_eq!(tab.script(proofs, Vec::new()).await, serde_json::json!(["true", "true", "true", "true"]));
        tab.assert_accessible().await;
        assert_fits_a_phone(&tab).await;
        take(&tab, "store-crowd").await;
        let sold = sale.count("SELECT sold_stock FROM products WHERE product_id = $1", 1).await;
        tab.sees("[data-crowd=paid]", &sold.to_string()).await;
        assert_invariants(&sale.pool).await;
    })
    .await;
}
