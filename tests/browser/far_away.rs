//! Both pages work with 100 ms of latency, and their first load is small. No assertion depends on the speed.

use holdfast_tests::SaleBuilder;
use serde_json::{Value, json};

use super::browser::in_browser;
use super::console::sign_in;
use super::tab::Tab;

const LATENCY_MS: u32 = 100;
const FIRST_LOAD_BYTES_MAX: u64 = 200_000;

/// The files that were loaded for the page: bytes on the wire (each URL once), and the time for the page itself.
const FETCHED: &str = "
    const entries = [...performance.getEntriesByType('navigation'), ...performance.getEntriesByType('resource')];
    const sizes = new Map(entries.map(({ name, transferSize }) => [name, transferSize]));
    const page = entries[0];
    return { bytes: [...sizes.values()].reduce((all, size) => all + size, 0), files: sizes.size,
        milliseconds: page.responseEnd - page.requestStart, scripts: entries.filter(({ name }) => name.endsWith('.js')).length };";

async fn add_latency(tab: &Tab) {
    tab.devtools("Network.enable", json!({})).await;
    tab.devtools("Network.setCacheDisabled", json!({"cacheDisabled": true}))
        .await;
    let far = json!({"offline": false, "latency": LATENCY_MS, "downloadThroughput": -1, "uploadThroughput": -1});
    tab.devtools("Network.emulateNetworkConditions", far).await;
}

/// Asserts that the page was loaded with the latency, with all its scripts, and within the limit of bytes.
async fn assert_small(tab: &Tab, page: &str) {
    let fetched = tab.script(FETCHED, Vec::new()).await;
    println!("first load of the {page}: {fetched}");
    let number = |name: &str| {
        fetched[name]
            .as_f64()
            .unwrap_or_else(|| panic!("{name} in {fetched}"))
    };
    assert!(
        number("milliseconds") >= f64::from(LATENCY_MS),
        "without latency: {fetched}"
    );
    assert!(number("scripts") > 10.0, "scripts are missing: {fetched}");
    let bytes = number("bytes") as u64;
    assert!((20_000..FIRST_LOAD_BYTES_MAX).contains(&bytes), "{fetched}");
}

#[tokio::test]
async fn the_store_works_with_100_ms_of_latency() {
    let sale = SaleBuilder::default()
        .setting("DEMO_STORE", "true")
        .start()
        .await;
    let product = sale.product(10).await;
    in_browser(sale.client().address(), async |tab| {
        add_latency(&tab).await;
        tab.go("/").await;
        tab.sees("article h2", "Lamp").await;
        assert_small(&tab, "store").await;
        tab.press("article h2 a").await;
        tab.sees("[role=status]", "Live stock").await;
        tab.write("#quantity", "2").await;
        tab.choose("Hold for $199.98").await;
        tab.is_at("Held for you").await;
        tab.choose("Order").await;
        tab.is_at("Your order").await;
        tab.press("[data-kind=pay]").await;
        tab.sees("[data-order-status=paid]", "Paid").await;
        assert_eq!(
            sale.count(
                "SELECT sold_stock FROM products WHERE product_id = $1",
                product
            )
            .await,
            2
        );
    })
    .await;
}

#[tokio::test]
async fn the_console_works_with_100_ms_of_latency() {
    let sale = SaleBuilder::default().start().await;
    let product = sale.product(10).await;
    in_browser(sale.client().address(), async |tab| {
        add_latency(&tab).await;
        sign_in(&tab).await;
        tab.sees("[data-well=true]", "All is well").await;
        tab.sees("[aria-label=Stock]", "active holds").await;
        assert_small(&tab, "console").await;
        tab.choose("Products").await;
        tab.write(&format!("#restock-{product}"), "5").await;
        tab.choose("Restock").await;
        tab.sees(".notice", "5 units added").await;
        let total: Value = sale
            .client()
            .get(&format!("/api/products/{product}"))
            .await
            .body;
        assert_eq!(total["total_stock"], 15);
    })
    .await;
}
