//! The demo store.

use holdfast_tests::{Sale, SaleBuilder, Webhook, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::browser::in_browser;
use super::pictures::take_picture;
use super::tab::Tab;

async fn store() -> Sale {
    SaleBuilder::default().demo_store().start().await
}

async fn add(sale: &Sale, product: &Value) -> i64 {
    sale.admin_post("/api/admin/products", product).await.body["id"]
        .as_i64()
        .unwrap()
}

/// Goes from a product's page to its order.
async fn order(tab: &Tab, product: i64) {
    tab.go(&format!("/?product={product}")).await;
    tab.press("form button").await;
    tab.is_at("Held for you").await;
    tab.choose("Order").await;
    tab.is_at("Your order").await;
}

async fn is_stock(tab: &Tab, part: &str, units: &str) {
    let selector = format!("[data-stock={part}]");
    until(&format!("{units} {part}"), async || {
        tab.text(&selector).await.filter(|seen| seen == units)
    })
    .await;
}

#[tokio::test]
async fn a_purchase_survives_reload_and_back() {
    let sale = store().await;
    let product = sale.product(100).await;
    // Products in different states: one partly sold, one that is not open yet, one sold out.
    let chair = add(
        &sale,
        &json!({"name": "Chair", "price_minor": 24900, "currency": "EUR", "total_stock": 40}),
    )
    .await;
    let at = "SELECT to_char(now() AT TIME ZONE 'UTC' + interval '2 hours', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    let at: String = sqlx::query_scalar(at).fetch_one(&sale.pool).await.unwrap();
    add(
        &sale,
        &json!({"name": "Table", "price_minor": 89900, "currency": "EUR", "total_stock": 12, "sale_starts_at": at}),
    )
    .await;
    let rug = json!({"name": "Rug", "price_minor": 12900, "currency": "EUR", "total_stock": 30});
    let rug = sale.order(add(&sale, &rug).await, 30).await;
    Webhook::new("evt_2", &rug, "pay_2", "succeeded")
        .send(sale.client())
        .await;
    let order = sale.order(chair, 14).await;
    Webhook::new("evt_1", &order, "pay_1", "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(
        sale.client().hold(chair, 9, &[]).await.status,
        StatusCode::CREATED
    );
    in_browser(sale.client().address(), async |tab| {
        tab.go("/").await;
        tab.is_at("On sale").await;
        tab.sees("article h2", "Lamp").await;
        take_picture(&tab, "store-products").await;
        tab.press("article h2 a").await;
        tab.is_at("Lamp").await;
        tab.sees("[role=status]", "Live stock").await;
        tab.write("#quantity", "3").await;
        take_picture(&tab, "store-product").await;
        tab.choose("Hold for $299.97").await;
        tab.is_at("Held for you").await;
        let hold = tab.address().await;
        take_picture(&tab, "store-hold").await;
        tab.reload().await;
        tab.is_at("Held for you").await;
        assert_eq!(tab.address().await, hold, "the same hold");
        tab.client.back().await.unwrap();
        tab.is_at("Lamp").await;
        is_stock(&tab, "held", "3").await;
        tab.choose("Your hold").await;
        tab.is_at("Held for you").await;
        tab.choose("Order").await;
        tab.is_at("Your order").await;
        tab.sees("[data-kind=pay]", "Pay").await;
        take_picture(&tab, "store-order").await;
        tab.reload().await;
        tab.press("[data-kind=pay]").await;
        tab.sees("[data-order-status=paid]", "Paid").await;
        tab.sees("[data-result=processed]", "applied").await;
        take_picture(&tab, "store-paid").await;
        tab.choose("Back to the product").await;
        is_stock(&tab, "sold", "3").await;
        assert_eq!(
            sale.count(
                "SELECT sold_stock FROM products WHERE product_id = $1",
                product
            )
            .await,
            3
        );
    })
    .await;
}

#[tokio::test]
async fn each_payment_scenario_ends_as_described() {
    let sale = store().await;
    let product = sale.product(10).await;
    in_browser(sale.client().address(), async |tab| {
        order(&tab, product).await;
        tab.press("[data-kind=fail]").await;
        tab.sees("[data-order-status=cancelled]", "Cancelled").await;
        order(&tab, product).await;
        tab.press("[data-kind=pay_twice]").await;
        tab.sees("[data-order-status=paid]", "Paid").await;
        tab.sees("[data-refund]", "Due").await;
        tab.sees("tbody tr:nth-child(2)", "replayed").await;
        tab.sees(
            "tbody tr:nth-child(3) [data-result=refund_due]",
            "refund due",
        )
        .await;
        order(&tab, product).await;
        tab.press("[data-kind=pay_late]").await;
        tab.sees("[data-order-status=paid]", "Paid").await;
        tab.sees("[data-result=reallocated]", "got units again")
            .await;
        tab.go(&format!("/?product={product}")).await;
        tab.press("form button").await;
        tab.choose("Test a payment before its order").await;
        tab.choose("Send the webhook, then order").await;
        tab.is_at("Your order").await;
        tab.sees("[data-order-status=paid]", "Paid").await;
        tab.sees("[data-result=parked]", "parked until the order exists")
            .await;
        assert_eq!(
            sale.count(
                "SELECT sold_stock FROM products WHERE product_id = $1",
                product
            )
            .await,
            3
        );
    })
    .await;
}

#[tokio::test]
async fn an_open_hold_page_shows_the_expiry() {
    let sale = SaleBuilder::default()
        .demo_store()
        .setting("HOLD_EXPIRY_SECONDS", "5")
        .start()
        .await;
    let product = sale.product(2).await;
    in_browser(sale.client().address(), async |tab| {
        tab.go(&format!("/?product={product}")).await;
        tab.record_texts("main h1").await;
        tab.press("form button").await;
        tab.is_at("Your hold has expired").await;
        let texts = tab.recorded_texts().await;
        assert!(texts.iter().any(|text| text == "Held for you"), "{texts:?}");
        tab.sees("[role=alert]", "on sale again").await;
        tab.assert_accessible().await;
        tab.choose("Back to the product").await;
        is_stock(&tab, "available", "2").await;
    })
    .await;
}

#[tokio::test]
async fn refusals_are_shown_as_text() {
    let sale = store().await;
    let product = sale.product(2).await;
    in_browser(sale.client().address(), async |tab| {
        tab.go(&format!("/?product={product}")).await;
        tab.write("#quantity", "5").await;
        tab.press("form button").await;
        tab.sees("[data-code=insufficient_stock]", "Only 2 units left")
            .await;
        tab.assert_accessible().await;
        tab.assert_only_refused(409).await;
        tab.go("/?hold=nothing").await;
        tab.sees("[data-code=hold_not_found]", "This hold does not exist")
            .await;
        tab.go("/?product=777").await;
        tab.sees(
            "[data-code=product_not_found]",
            "This product does not exist",
        )
        .await;
        tab.assert_only_refused(404).await;
    })
    .await;
}

#[tokio::test]
async fn two_tabs_show_the_same_stock_live() {
    let sale = store().await;
    let product = sale.product(10).await;
    in_browser(sale.client().address(), async |tab| {
        tab.go(&format!("/?product={product}")).await;
        is_stock(&tab, "available", "10").await;
        tab.sees("[role=status]", "Live stock").await;
        tab.script(SEEN_AT, vec![json!("6")]).await;
        let first = tab.another().await;
        tab.go(&format!("/?product={product}")).await;
        tab.write("#quantity", "4").await;
        tab.press("form button").await;
        tab.is_at("Held for you").await;
        let responded = tab
            .script(HOLD_RESPONDED_AT, Vec::new())
            .await
            .as_f64()
            .unwrap();
        tab.client.switch_to_window(first).await.unwrap();
        is_stock(&tab, "available", "6").await;
        is_stock(&tab, "held", "4").await;
        let seen = tab
            .script("return window.seen", Vec::new())
            .await
            .as_f64()
            .unwrap();
        println!(
            "the other tab showed it {:.0} ms after the response",
            seen - responded
        );
    })
    .await;
}

/// Records when the page shows this number of available units, in milliseconds since 1970.
const SEEN_AT: &str = "new MutationObserver(() => {
    if (document.querySelector('[data-stock=available]')?.textContent === arguments[0]) window.seen ??= performance.timeOrigin + performance.now();
}).observe(document.body, {subtree: true, childList: true, characterData: true});";
/// The time of the response to this tab's hold.
const HOLD_RESPONDED_AT: &str =
    "const request = performance.getEntriesByType('resource').find(({ name }) => name.endsWith('/api/holds'));
    return performance.timeOrigin + request.responseEnd";

#[tokio::test]
async fn a_waiting_request_survives_a_reload() {
    let builder = SaleBuilder::default()
        .demo_store()
        .setting("REQUEST_WAIT_MS", "2000");
    let mut sale = builder.start().await;
    let product = sale.product(10).await;
    sale.workers.remove(0).crash().await;
    let address = sale.client().address().to_owned();
    in_browser(&address, async |tab| {
        tab.go(&format!("/?product={product}")).await;
        tab.press("form button").await;
        tab.is_at("Your request is waiting").await;
        tab.sees("[role=status]", "No request is ahead of yours")
            .await;
        take_picture(&tab, "store-line").await;
        tab.reload().await;
        tab.is_at("Your request is waiting").await;
        sale.start_worker().await;
        tab.is_at("Held for you").await;
        assert_eq!(
            sale.count(
                "SELECT held_stock FROM products WHERE product_id = $1",
                product
            )
            .await,
            1,
            "once"
        );
    })
    .await;
}

#[tokio::test]
async fn a_sale_counts_down_to_its_start() {
    let sale = store().await;
    let body = json!({"name": "Later", "price_minor": 100, "currency": "EUR", "total_stock": 5,
        "sale_starts_at": "2999-01-01T00:00:00Z"});
    let product = add(&sale, &body).await;
    in_browser(sale.client().address(), async |tab| {
        tab.go(&format!("/?product={product}")).await;
        tab.sees("[role=timer]", "days").await;
        tab.sees("form button", "Not started").await;
        let change = json!({"sale_starts_at": null});
        let headers = [(
            "authorization",
            format!("Bearer {}", holdfast_tests::ADMIN_TOKEN),
        )];
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .chain([("content-type", "application/json")])
            .collect();
        let path = format!("/api/admin/products/{product}");
        sale.client()
            .send(
                reqwest::Method::PATCH,
                &path,
                &headers,
                Some(change.to_string().into_bytes()),
            )
            .await;
        tab.sees("form button", "Hold for").await;
    })
    .await;
}
