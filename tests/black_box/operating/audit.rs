//! Tests of the audit: the actor and the change of each entry, over HTTP and in SQL.

use holdfast_common::domain::AuditKind;
use holdfast_tests::{Sale, SaleBuilder, Webhook, until};
use serde_json::{Value, json};

/// All entries, read in pages of this size.
async fn entries(sale: &Sale, filter: &str, limit: usize) -> Vec<Value> {
    let (mut all, mut after) = (Vec::new(), String::new());
    loop {
        let page = sale
            .admin_get(&format!("/api/admin/audit?{filter}&limit={limit}{after}"))
            .await;
        assert_eq!(page.status.as_u16(), 200, "{page:?}");
        let entries = page.body["entries"].as_array().unwrap();
        all.extend(entries.iter().cloned());
        match page.body["next"].as_str() {
            Some(next) => {
                assert_eq!(entries.len(), limit);
                after = format!("&after={next}");
            }
            None => return all,
        }
    }
}

/// The action and the actor of each entry.
fn actions_and_actors(entries: &[Value]) -> Vec<(&str, &str)> {
    entries
        .iter()
        .map(|entry| {
            (
                entry["what"].as_str().unwrap(),
                entry["actor"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn audit_entries_have_actor_action_before_and_after() {
    let sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "2")
        .start()
        .await;
    let product = sale.product(10).await;
    let order = sale.order(product, 2).await;
    Webhook::new("k1", &order, "pay_1", "succeeded")
        .send(sale.client())
        .await;
    Webhook::new("k2", &order, "pay_2", "succeeded")
        .send(sale.client())
        .await;
    let path = format!("/api/admin/products/{product}");
    let authorization = format!("Bearer {}", holdfast_tests::ADMIN_TOKEN);
    let headers = [
        ("authorization", &*authorization),
        ("content-type", "application/json"),
    ];
    let change = json!({"name": "Lamp II", "price_minor": 5})
        .to_string()
        .into_bytes();
    sale.client()
        .send(reqwest::Method::PATCH, &path, &headers, Some(change))
        .await;
    sale.admin_post(&format!("{path}/restock"), &json!({"quantity": -3}))
        .await;
    let released = sale.client().hold(product, 1, &[]).await;
    sale.client().delete(released.header("location")).await;
    let expired = sale.client().hold(product, 5, &[]).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let filter = format!("product_id={product}");
    until("the hold to expire", async || {
        let all = entries(&sale, &filter, 50).await;
        (all.last()?["what"] == "hold.expired").then_some(())
    })
    .await;
    let all = entries(&sale, &filter, 3).await;
    assert_eq!(
        all,
        entries(&sale, &filter, 50).await,
        "the page size changes the entries"
    );
    let expected = [
        ("product.created", "operator"),
        ("hold.created", "customer"),
        ("hold.consumed", "customer"),
        ("order.created", "customer"),
        ("order.paid", "payment_provider"),
        ("payment.applied", "payment_provider"),
        ("payment.refund_due", "payment_provider"),
        ("product.changed", "operator"),
        ("product.restocked", "operator"),
        ("hold.created", "customer"),
        ("hold.released", "customer"),
        ("hold.created", "customer"),
        ("hold.expired", "holdfast"),
    ];
    assert_eq!(actions_and_actors(&all), expected);
    // Each entry begins with the counts of the entry before; the last has the counts of the product.
    assert_eq!(all[0]["before"]["stock"]["total_stock"], 0);
    for (before, after) in all.iter().zip(&all[1..]) {
        assert_eq!(
            before["after"]["stock"], after["before"]["stock"],
            "{before} then {after}"
        );
    }
    let shown = sale
        .client()
        .get(&format!("/api/products/{product}"))
        .await
        .body;
    for count in ["total_stock", "available_stock", "held_stock", "sold_stock"] {
        assert_eq!(all[12]["after"]["stock"][count], shown[count], "{count}");
    }
    assert_eq!(
        (&all[1]["hold_id"], &all[1]["request_id"]),
        (&json!(order), &json!(order))
    );
    assert_eq!(
        (&all[1]["order_id"], &all[4]["order_id"]),
        (&Value::Null, &json!(order))
    );
    assert_eq!(
        (&all[1]["sequence"], &all[11]["sequence"]),
        (&json!(1), &json!(3))
    );
    assert_eq!(
        (&all[4]["before"]["state"], &all[4]["after"]["state"]),
        (&json!("pending_payment"), &json!("paid"))
    );
    assert_eq!(
        (&all[6]["reason"], &all[12]["request_id"]),
        (&json!("already_paid"), &Value::Null)
    );
    assert_eq!(all[7]["before"]["product"]["name"], "Lamp");
    assert_eq!(
        all[7]["after"]["product"],
        json!({"name": "Lamp II", "price_minor": 5, "currency": "USD",
        "max_per_customer": null, "sale_starts_at": null, "sale_ends_at": null})
    );
    assert_eq!(
        (&all[8]["quantity"], &all[12]["quantity"]),
        (&json!(-3), &json!(5))
    );
    let of_order = entries(&sale, &format!("order_id=order_{order}"), 50).await;
    assert_eq!(of_order, all[1..7]);
    assert_eq!(
        actions_and_actors(&entries(&sale, &format!("hold_id={expired}"), 1).await),
        expected[11..]
    );
    let text = format!("{all:?}");
    assert!(
        !text.contains("pay_1") && !text.contains("pay_2"),
        "the audit contains a payment id"
    );
}

#[tokio::test]
async fn audit_lists_changes_without_a_product() {
    let sale = Sale::start().await;
    let stray = "01a205c9-8f56-8cc1-9b7d-29b3ac88daff";
    let (first, second) = (sale.product(1).await, sale.product(2).await);
    Webhook::new("stray", stray, "stray", "succeeded")
        .send(sale.client())
        .await;
    let all = entries(&sale, "", 2).await;
    let products: Vec<_> = all.iter().map(|entry| &entry["product_id"]).collect();
    assert_eq!(products, [&json!(first), &json!(second), &Value::Null]);
    assert_eq!(
        (&all[2]["what"], &all[2]["order_id"]),
        (&json!("payment.parked"), &json!(stray))
    );
    assert_eq!(
        entries(&sale, &format!("order_id={stray}"), 2).await,
        all[2..]
    );
    for query in [
        "product_id=0",
        "product_id=x",
        "hold_id=1",
        "order_id=1",
        "after=x",
        "after=-1",
        "limit=0",
        "limit=201",
    ] {
        let answer = sale.admin_get(&format!("/api/admin/audit?{query}")).await;
        assert_eq!(
            (answer.status.as_u16(), answer.problem()),
            (422, "invalid_request"),
            "{query}"
        );
    }
    let both = sale
        .admin_get(&format!("/api/admin/audit?product_id=1&hold_id={stray}"))
        .await;
    assert_eq!(both.problem(), "invalid_request");
    assert_eq!(
        sale.client().get("/api/admin/audit").await.problem(),
        "unauthorized"
    );
}

#[tokio::test]
async fn audit_table_accepts_exactly_the_known_actions() {
    let sale = SaleBuilder::default().start_without_workers().await;
    let kinds: Vec<(i16, String)> =
        sqlx::query_as("SELECT kind, name FROM audit_kinds ORDER BY kind")
            .fetch_all(&sale.pool)
            .await
            .unwrap();
    let known: Vec<(i16, String)> = AuditKind::ALL
        .iter()
        .map(|kind| (*kind as i16, kind.name().to_owned()))
        .collect();
    assert_eq!(kinds, known);
}
