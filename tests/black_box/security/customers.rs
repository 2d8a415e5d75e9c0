//! Tests of the export and the erasure of a customer's data.

use futures_util::future::join_all;
use holdfast_tests::{Sale, SaleBuilder, Webhook, assert_invariants};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::security::encryption::{plain, sealed};

async fn held(sale: &Sale, product: i64, customer: &str) -> String {
    let body = json!({"product_id": product, "quantity": 1, "customer_id": customer});
    sale.client().post("/api/holds", &[], &body).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn order(sale: &Sale, hold: &str) -> Value {
    sale.client()
        .post(
            "/api/orders",
            &[("idempotency-key", hold)],
            &json!({"hold_id": hold}),
        )
        .await
        .body
}

async fn export(sale: &Sale, customer: &str) -> Value {
    let (ended_well, output) = sale.holdfast(&["customers", "export", customer]).await;
    assert!(ended_well, "{output}");
    serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"))
}

fn ids(document: &Value, list: &str, name: &str) -> Vec<String> {
    let mut ids: Vec<_> = document[list]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one[name].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

fn sorted(ids: &[&String]) -> Vec<String> {
    let mut ids: Vec<_> = ids.iter().map(|id| (*id).clone()).collect();
    ids.sort();
    ids
}

async fn named(sale: &Sale, hold: &str) -> Value {
    sale.client().get(&format!("/api/holds/{hold}")).await.body["customer_id"].clone()
}

/// Releases a hold, with a key so that the request can be repeated.
async fn release(sale: &Sale, hold: &str) -> Value {
    let path = format!("/api/holds/{hold}");
    sale.client()
        .send(Method::DELETE, &path, &[("idempotency-key", hold)], None)
        .await
        .body
}

async fn run(builder: SaleBuilder) {
    let sale = builder.start().await;
    let (here, there) = (sale.product(100).await, sale.product(100).await);
    let [released, paid, pending, active] = [
        held(&sale, here, "shopper.1").await,
        held(&sale, here, "shopper.1").await,
        held(&sale, there, "shopper.1").await,
        held(&sale, there, "shopper.1").await,
    ];
    let other = held(&sale, here, "shopper.2").await;
    assert_eq!(release(&sale, &released).await["customer_id"], "shopper.1");
    for hold in [&paid, &pending, &other] {
        order(&sale, hold).await;
    }
    Webhook::new("k1", &paid, "pay_1", "succeeded")
        .send(sale.client())
        .await;
    Webhook::new("k2", &other, "pay_2", "succeeded")
        .send(sale.client())
        .await;

    let known = export(&sale, "shopper.1").await;
    assert_eq!(known["customer_id"], "shopper.1");
    assert_eq!(
        ids(&known, "holds", "hold_id"),
        sorted(&[&released, &paid, &pending, &active])
    );
    assert_eq!(
        ids(&known, "orders", "order_id"),
        sorted(&[&paid, &pending])
    );
    assert_eq!(known["payments"].as_array().unwrap().len(), 1);
    assert_eq!(
        (
            &known["payments"][0]["payment_id"],
            &known["payments"][0]["state"]
        ),
        (&json!("pay_1"), &json!("applied"))
    );
    assert_eq!(
        known["outcomes"].as_array().unwrap().len(),
        3,
        "a release and two orders: {known}"
    );
    assert!(known["audit"].as_array().unwrap().len() >= 9, "{known}");
    assert!(
        !known.to_string().contains(&other) && !known.to_string().contains("sealed"),
        "{known}"
    );
    assert_eq!(export(&sale, "shopper.3").await["holds"], json!([]));

    let (code, report) = sale
        .operator(&["customers", "forget", "shopper.1", "--json"])
        .await;
    assert_eq!(code, 1, "{report:?}");
    assert_eq!(report[0]["forgotten"]["holds"], 2, "{report:?}");
    let waiting: Vec<String> =
        serde_json::from_value(report[0]["waiting"]["holds"].clone()).unwrap();
    assert_eq!(
        sorted(&waiting.iter().collect::<Vec<_>>()),
        sorted(&[&pending, &active])
    );
    for (id, customer) in [
        (&released, Value::Null),
        (&paid, Value::Null),
        (&pending, json!("shopper.1")),
        (&active, json!("shopper.1")),
    ] {
        assert_eq!(named(&sale, id).await, customer, "{id}");
    }
    assert_eq!(
        ids(&export(&sale, "shopper.1").await, "orders", "order_id"),
        [pending.as_str()]
    );
    let repeated = release(&sale, &released).await;
    assert_eq!(
        repeated["customer_id"],
        Value::Null,
        "the repeat contains the customer id: {repeated}"
    );
    assert_eq!(order(&sale, &paid).await["order_id"], json!(paid));
    assert_eq!(
        sale.client().get(&format!("/api/orders/{paid}")).await.body["payment_id"],
        "pay_1",
        "payments stay"
    );

    Webhook::new("k3", &pending, "pay_3", "failed")
        .send(sale.client())
        .await;
    sale.client().delete(&format!("/api/holds/{active}")).await;
    let (code, report) = sale
        .operator(&["customers", "forget", "shopper.1", "--json"])
        .await;
    assert_eq!(
        (code, &report[0]["waiting"]["holds"]),
        (0, &json!([])),
        "{report:?}"
    );
    let known = export(&sale, "shopper.1").await;
    for list in [
        "holds",
        "orders",
        "payments",
        "outcomes",
        "dead_letters",
        "audit",
    ] {
        assert_eq!(known[list], json!([]), "{list}");
    }
    for table in [
        "holds",
        "orders",
        "outcomes",
        "dead_letters",
        "audit",
        "event_dead_letters",
    ] {
        let rows =
            format!("SELECT count(*) FROM {table} WHERE strpos({table}::text, 'shopper.1') > 0");
        let rows: i64 = sqlx::query_scalar(AssertSqlSafe(rows))
            .fetch_one(&sale.pool)
            .await
            .unwrap();
        assert_eq!(rows, 0, "{table}");
    }
    assert_eq!(
        ids(&export(&sale, "shopper.2").await, "orders", "order_id"),
        [other]
    );
    let audit = sale.admin_get("/api/admin/audit?limit=200").await;
    let report = audit.body["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["what"] == "customer.forgotten");
    let report: Vec<_> = report
        .map(|entry| {
            (
                entry["actor"].as_str().unwrap(),
                entry["hold_id"].as_str().unwrap(),
            )
        })
        .collect();
    let mut forgotten: Vec<_> = [&released, &paid, &pending, &active]
        .map(|id| ("operator", id.as_str()))
        .to_vec();
    forgotten.sort_unstable();
    let mut report = report;
    report.sort_unstable();
    assert_eq!(report, forgotten);
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn customer_is_exported_and_erased_in_plain_tables() {
    run(plain(SaleBuilder::default())).await;
}

#[tokio::test]
async fn customer_is_exported_and_erased_in_encrypted_tables() {
    run(sealed(SaleBuilder::default())).await;
}

#[tokio::test]
async fn repeats_during_an_erasure_write_no_customer_id() {
    let sale = sealed(SaleBuilder::default()).start().await;
    let product = sale.product(100).await;
    let holds = join_all((0..10).map(|_| held(&sale, product, "shopper.1"))).await;
    for hold in &holds {
        release(&sale, hold).await;
    }
    let is_done = std::cell::Cell::new(false);
    // Each repeat stores an outcome, as a copy of an outcome that contains the customer id.
    let repeat = async |hold: &String| {
        while !is_done.get() {
            assert_eq!(release(&sale, hold).await["status"], "released");
        }
    };
    let forget = async {
        let report = sale
            .operator(&["customers", "forget", "shopper.1", "--json"])
            .await;
        is_done.set(true);
        report
    };
    let ((code, report), _) = tokio::join!(forget, join_all(holds.iter().map(repeat)));
    assert_eq!(
        (code, &report[0]["forgotten"]["holds"]),
        (0, &json!(10)),
        "{report:?}"
    );
    assert!(
        report[0]["forgotten"]["outcomes"].as_i64() >= Some(10),
        "{report:?}"
    );
    let known = export(&sale, "shopper.1").await;
    assert_eq!(
        (&known["holds"], &known["outcomes"]),
        (&json!([]), &json!([]))
    );
}

#[tokio::test]
async fn erasure_waits_for_open_dead_letters_of_the_customer() {
    let sale = sealed(SaleBuilder::default()).start().await;
    let product = sale.product(10).await;
    let broken = "UPDATE products SET currency = '???' WHERE product_id = $1";
    sqlx::query(broken)
        .bind(product)
        .execute(&sale.pool)
        .await
        .unwrap();
    let body = json!({"product_id": product, "quantity": 1, "customer_id": "shopper.1"});
    assert_eq!(
        sale.client().post("/api/holds", &[], &body).await.status,
        StatusCode::INTERNAL_SERVER_ERROR
    );
    let known = export(&sale, "shopper.1").await;
    assert_eq!(
        known["dead_letters"][0]["command"]["CreateHold"]["customer_id"], "shopper.1",
        "{known}"
    );
    let id = known["dead_letters"][0]["id"].as_i64().unwrap();
    let (code, report) = sale
        .operator(&["customers", "forget", "shopper.1", "--json"])
        .await;
    assert_eq!(
        (code, &report[0]["waiting"]["dead_letters"]),
        (1, &json!([id])),
        "{report:?}"
    );
    sqlx::query("UPDATE products SET currency = 'USD'")
        .execute(&sale.pool)
        .await
        .unwrap();
    let (ended_well, output) = sale
        .holdfast(&["dead-letters", "drop", &id.to_string()])
        .await;
    assert!(ended_well, "{output}");
    let (code, report) = sale
        .operator(&["customers", "forget", "shopper.1", "--json"])
        .await;
    assert_eq!(
        (code, &report[0]["forgotten"]["dead_letters"]),
        (0, &json!(1)),
        "{report:?}"
    );
    assert_eq!(export(&sale, "shopper.1").await["dead_letters"], json!([]));
}

#[tokio::test]
async fn old_orders_lose_their_customer_id() {
    let sale = sealed(SaleBuilder::default()).start().await;
    let product = sale.product(10).await;
    let [settled, young, unpaid, active] = [
        held(&sale, product, "shopper.1").await,
        held(&sale, product, "shopper.1").await,
        held(&sale, product, "shopper.1").await,
        held(&sale, product, "shopper.1").await,
    ];
    for hold in [&settled, &young, &unpaid] {
        order(&sale, hold).await;
    }
    for order in [&settled, &young] {
        Webhook::new(order, order, order, "succeeded")
            .send(sale.client())
            .await;
    }
    for age in [
        "UPDATE orders SET settled_at = settled_at - interval '100 days', created_at = created_at - interval '100 days' WHERE order_id::text = $1",
        "UPDATE holds SET ended_at = ended_at - interval '100 days' WHERE $1 = $1 AND status <> 'active'",
    ] {
        sqlx::query(age)
            .bind(&settled)
            .execute(&sale.pool)
            .await
            .unwrap();
    }
    let prune = async |days: Option<&str>| {
        let settings: Vec<_> = days
            .map(|days| ("CUSTOMER_RETENTION_DAYS", days))
            .into_iter()
            .collect();
        let mut process = sale.holdfast_with(&["prune", "--json"], &settings);
        assert!(process.ended().await, "{}", process.output());
        serde_json::from_str::<Value>(process.output().trim()).unwrap()["customers"].clone()
    };
    assert_eq!(
        prune(None).await,
        0,
        "customer ids were removed without the setting"
    );
    assert_eq!(prune(Some("101")).await, 0);
    assert_eq!(prune(Some("99")).await, 2, "the order and its hold");
    assert_eq!(named(&sale, &settled).await, Value::Null);
    let nobodys = "SELECT count(*) FROM orders WHERE customer_id IS NULL AND customer_sealed IS NULL AND $1 = $1";
    assert_eq!(sale.count(nobodys, 0).await, 1);
    for hold in [&young, &unpaid, &active] {
        assert_eq!(named(&sale, hold).await, "shopper.1");
    }
    let shown = sale
        .client()
        .get(&format!("/api/orders/{settled}"))
        .await
        .body;
    assert_eq!(
        (&shown["status"], &shown["payment_id"]),
        (&json!("paid"), &json!(settled))
    );
    assert_invariants(&sale.pool).await;
}
