//! Every page and state of the store and the console is accessible: axe-core finds nothing in the light or dark colours, no
//! page is wider than a phone, and the browser's console has no errors (also none of the content security policy).

use holdfast_tests::{ADMIN_TOKEN, Sale, SaleBuilder, Webhook};
use reqwest::Method;
use serde_json::{Value, json};

use super::browser::in_browser;
use super::console::sign_in;
use super::pictures::{assert_usable, take_picture};
use super::tab::Tab;

/// Valid ids that do not exist.
const UNKNOWN: [&str; 3] = [
    "01a20634-0c9b-8cc1-96dc-8d450eaf51d9",
    "01a20634-0c9b-8cc1-96dc-8d450eaf51da",
    "01a20634-0c9b-8cc1-96dc-8d450eaf51db",
];

async fn sale() -> Sale {
    SaleBuilder::default()
        .setting("DEMO_STORE", "true")
        .start()
        .await
}

async fn add(sale: &Sale, name: &str, price_minor: i64, total_stock: i64) -> i64 {
    let product = json!({"name": name, "price_minor": price_minor, "currency": "EUR", "total_stock": total_stock});
    sale.admin_post("/api/admin/products", &product).await.body["id"]
        .as_i64()
        .unwrap()
}

async fn change(sale: &Sale, product: i64, change: &Value) {
    let headers = [("authorization", format!("Bearer {ADMIN_TOKEN}"))];
    let headers = [
        (headers[0].0, headers[0].1.as_str()),
        ("content-type", "application/json"),
    ];
    let path = format!("/api/admin/products/{product}");
    let changed = sale
        .client()
        .send(
            Method::PATCH,
            &path,
            &headers,
            Some(change.to_string().into_bytes()),
        )
        .await;
    assert!(changed.status.is_success(), "{changed:?}");
}

/// The time after an interval from now, by Postgres's clock.
async fn at(sale: &Sale, interval: &'static str) -> String {
    let at = "SELECT to_char((now() + $1::interval) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";
    sqlx::query_scalar(at)
        .bind(interval)
        .fetch_one(&sale.pool)
        .await
        .unwrap()
}

async fn pay(sale: &Sale, order: &str, payment: &str) {
    let sent = Webhook::new(payment, order, payment, "succeeded")
        .send(sale.client())
        .await;
    assert!(sent.status.is_success(), "{sent:?}");
}

#[tokio::test]
async fn every_state_of_the_store_is_accessible() {
    let sale = sale().await;
    in_browser(sale.client().address(), async |tab| {
        tab.go("/").await;
        tab.sees("main", "There are no products yet").await;
        assert_usable(&tab).await;

        let product = add(&sale, "Lamp", 4900, 10).await;
        let change = async |fields: Value| change(&sale, product, &fields).await;
        let page = format!("/?product={product}");
        change(json!({"sale_starts_at": at(&sale, "2 days").await})).await;
        tab.go(&page).await;
        tab.sees("form button", "Not started").await;
        assert_usable(&tab).await;
        change(json!({"sale_starts_at": at(&sale, "-2 hours").await, "sale_ends_at": at(&sale, "-1 hours").await}))
            .await;
        tab.sees("form button", "Ended").await;
        assert_usable(&tab).await;
        change(json!({"sale_starts_at": null, "sale_ends_at": at(&sale, "3 hours").await})).await;
        tab.sees("main", "Ends in").await;
        assert_usable(&tab).await;

        tab.write("#quantity", "2").await;
        tab.press("form button").await;
        tab.is_at("Held for you").await;
        tab.choose("Test a payment before its order").await;
        assert_usable(&tab).await;
        tab.choose("Release").await;
        tab.is_at("You released your hold").await;
        assert_usable(&tab).await;
        orders(&sale, &tab, product).await;

        let rest = 10 - sale.count("SELECT sold_stock FROM products WHERE product_id = $1", product).await;
        assert!(sale.client().hold(product, rest, &[]).await.status.is_success());
        tab.go(&page).await;
        tab.sees("main", "All units are held or sold").await;
        assert_usable(&tab).await;
        tab.press("form button").await;
        tab.sees("[data-code=insufficient_stock]", "Sold out").await;
        assert_usable(&tab).await;
        tab.assert_only_refused(409).await;
        for (address, code) in [
            ("/?product=777".to_owned(), "product_not_found"),
            (format!("/?hold={}", UNKNOWN[0]), "hold_not_found"),
            (format!("/?order={}", UNKNOWN[0]), "order_not_found"),
            (format!("/?request=/api/requests/{}&of={product}", UNKNOWN[0]), "request_not_found"),
        ] {
            tab.go(&address).await;
            tab.sees(&format!("[data-code={code}]"), "no").await;
            assert_usable(&tab).await;
        }
        tab.assert_only_refused(404).await;
    })
    .await;
}

/// Checks the pages of an unpaid, a cancelled and a twice paid order.
async fn orders(sale: &Sale, tab: &Tab, product: i64) {
    for (kind, status) in [("fail", "cancelled"), ("pay_twice", "paid")] {
        let order = sale.order(product, 1).await;
        tab.go(&format!("/?order={order}")).await;
        tab.is_at("Your order").await;
        assert_usable(tab).await;
        tab.press(&format!("[data-kind={kind}]")).await;
        tab.sees(&format!("[data-order-status={status}]"), "").await;
        tab.sees("[data-result=processed]", "applied").await;
        assert_usable(tab).await;
    }
}

#[tokio::test]
async fn every_view_of_the_console_is_accessible() {
    let sale = sale().await;
    in_browser(sale.client().address(), async |tab| {
        sign_in(&tab).await;
        tab.sees("[data-well=true]", "All is well").await;
        assert_usable(&tab).await;
        for view in [
            "Products",
            "Stock",
            "Dead letters",
            "Refunds",
            "Payments",
            "Audit",
        ] {
            tab.choose(view).await;
            tab.is_at(view).await;
            // The first response has arrived.
            tab.sees(
                "main",
                if view == "Products" {
                    "Add a product"
                } else {
                    view
                },
            )
            .await;
            assert_usable(&tab).await;
        }
        let lamp = create_sale(&sale).await;
        products(&tab, lamp).await;
        for (view, seen, name) in [
            ("Refunds", "pay_2", "console-refunds"),
            ("Payments", "pay_parked", "console-payments"),
            ("Audit", "order", "console-audit"),
        ] {
            tab.choose(view).await;
            tab.is_at(view).await;
            tab.sees("tbody", seen).await;
            take_picture(&tab, name).await;
        }
        tab.choose("Refunds").await;
        tab.press("tbody a").await;
        tab.is_at("Audit").await;
        tab.sees("tbody", "order.created").await;
        let filter = "return ['filter', 'value'].map((id) => document.getElementById(id).value)";
        let filter = tab.script(filter, Vec::new()).await;
        assert_eq!(filter[0], "order_id");
        assert!(
            filter[1].as_str().is_some_and(|order| order.len() == 36),
            "{filter}"
        );
        assert_usable(&tab).await;
        tab.write("#value", "nothing").await;
        tab.client
            .find(fantoccini::Locator::Css("#filter"))
            .await
            .unwrap()
            .select_by_value("hold_id")
            .await
            .unwrap();
        tab.choose("Show").await;
        tab.sees("[role=alert]", "hold").await;
        assert_usable(&tab).await;
        tab.assert_only_refused(422).await;
        // The state of a parked payment after a day without an order.
        let unmatched = "UPDATE payments SET state = 'unmatched' WHERE payment_id = 'pay_lost'";
        assert_eq!(
            sqlx::query(unmatched)
                .execute(&sale.pool)
                .await
                .unwrap()
                .rows_affected(),
            1
        );
        tab.sees(
            "[data-alert=HoldfastPaymentsUnmatched]",
            "Payments that match no order after a day: 1",
        )
        .await;
        tab.choose("Open the list").await;
        tab.is_at("Payments").await;
        tab.sees("tbody", "pay_lost").await;
        assert_usable(&tab).await;
        tab.choose("Mark as refunded").await;
        tab.sees("main > h2 ~ [role=status]", "recorded as refunded")
            .await;
        tab.sees("main", "There are no unmatched payments.").await;
    })
    .await;
}

async fn products(tab: &Tab, lamp: i64) {
    tab.choose("Products").await;
    tab.sees(&format!("[data-product='{lamp}'] [data-stock=sold]"), "31")
        .await;
    take_picture(tab, "console-products").await;
    tab.choose("Add a product").await;
    assert_usable(tab).await;
    tab.press(&format!("[data-product='{lamp}'] summary")).await;
    tab.write(&format!("#restock-{lamp}"), "-5000").await;
    tab.press(&format!("[data-product='{lamp}'] form button"))
        .await;
    tab.sees(".notice.bad", "left").await;
    assert_usable(tab).await;
    tab.assert_only_refused(409).await;
}

/// Creates products, holds, orders and payments; returns the first product's id.
async fn create_sale(sale: &Sale) -> i64 {
    let lamp = add(sale, "Lamp", 4900, 120).await;
    let chair = add(sale, "Chair", 24_900, 40).await;
    let table = add(sale, "Table", 89_900, 12).await;
    change(
        sale,
        table,
        &json!({"sale_starts_at": at(sale, "2 hours").await, "max_per_customer": 1}),
    )
    .await;
    for (product, quantity, payment) in [
        (lamp, 31, "pay_1"),
        (chair, 14, "pay_3"),
        (chair, 6, "pay_4"),
    ] {
        pay(sale, &sale.order(product, quantity).await, payment).await;
    }
    let order = sale.order(chair, 1).await;
    pay(sale, &order, "pay_5").await;
    pay(sale, &order, "pay_2").await;
    for (product, quantity) in [(lamp, 12), (chair, 9)] {
        assert!(
            sale.client()
                .hold(product, quantity, &[])
                .await
                .status
                .is_success()
        );
    }
    sale.order(lamp, 4).await;
    pay(sale, UNKNOWN[1], "pay_parked").await;
    pay(sale, UNKNOWN[2], "pay_lost").await;
    lamp
}

#[tokio::test]
async fn a_truncated_list_has_a_note() {
    let sale = sale().await;
    let (ended_well, output) = sale
        .holdfast(&["seed", "--products", "201", "--stock", "1"])
        .await;
    assert!(ended_well, "{output}");
    in_browser(sale.client().address(), async |tab| {
        tab.go("/").await;
        tab.sees("[data-cut]", "Only the first 200").await;
        sign_in(&tab).await;
        tab.choose("Products").await;
        tab.sees("[data-cut]", "Only the first 200").await;
        tab.choose("Refunds").await;
        tab.sees("main", "There are no refunds.").await;
        assert_eq!(tab.text("[data-cut]").await, None, "the list is complete");
    })
    .await;
}

#[tokio::test]
async fn the_pages_report_an_unreachable_server() {
    let mut sale = sale().await;
    sale.product(10).await;
    let address = sale.client().address().to_owned();
    in_browser(&address, async |tab| {
        tab.go("/").await;
        tab.sees("article h2", "Lamp").await;
        let store = tab.another().await;
        sign_in(&tab).await;
        tab.sees("[data-well=true]", "All is well").await;
        sale.ingresses.remove(0).crash().await;
        tab.sees("[data-alert=HoldfastTargetDown]", "does not respond")
            .await;
        assert_usable(&tab).await;
        tab.client.switch_to_window(store).await.unwrap();
        tab.sees("[data-code=unreachable]", "can’t be reached")
            .await;
        assert_usable(&tab).await;
        tab.assert_only_unreachable().await;
    })
    .await;
}
