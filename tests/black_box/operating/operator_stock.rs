//! Tests of `holdfast stock`: it finds drift and repairs it while the sale runs.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures_util::future::join_all;
use holdfast_tests::{Sale, Webhook, assert_invariants, until};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

/// Changes that cause drift without breaking a constraint, each with the fields that show it.
const PLANTED: [(&str, &[&str]); 5] = [
    (
        "available_stock = available_stock - 3, held_stock = held_stock + 3",
        &["available_stock", "held_stock"],
    ),
    (
        "held_stock = held_stock - 2, sold_stock = sold_stock + 2",
        &["held_stock", "sold_stock"],
    ),
    (
        "sold_stock = sold_stock - 1, available_stock = available_stock + 1",
        &["available_stock", "sold_stock"],
    ),
    ("holds_count = holds_count + 4", &["holds_count"]),
    ("hold_sequence = hold_sequence - 5", &["hold_sequence"]),
];

async fn plant(sale: &Sale, product: i64, assignments: &str) {
    let statement = format!("UPDATE products SET {assignments} WHERE product_id = {product}");
    let planted = sqlx::query(AssertSqlSafe(statement))
        .execute(&sale.pool)
        .await
        .unwrap();
    assert_eq!(planted.rows_affected(), 1);
}

/// Makes holds, of which one is ordered and one paid.
async fn buyers(sale: &Sale, product: i64) {
    join_all((0..8).map(|_| sale.client().hold(product, 1, &[]))).await;
    sale.order(product, 2).await;
    let paid = sale.order(product, 1).await;
    let webhook = Webhook::new(&paid, &paid, &paid, "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(webhook.body["order_status"], "paid", "{webhook:?}");
}

/// The only document in the output of a command.
fn only(documents: Vec<Value>) -> Value {
    assert_eq!(documents.len(), 1, "{documents:?}");
    documents.into_iter().next().unwrap()
}

/// The fields with drift, by product.
fn off(document: &Value, list: &str) -> Vec<(i64, Vec<String>)> {
    let products = document[list]
        .as_array()
        .unwrap_or_else(|| panic!("{document}"));
    let names = |product: &Value| {
        product["off"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    products
        .iter()
        .map(|product| (product["product_id"].as_i64().unwrap(), names(product)))
        .collect()
}

/// Clients that hold and order until they are stopped.
struct Clients {
    stop: AtomicBool,
    /// While the sequence has drift, a new hold would get a sequence that another hold has. No repair is possible after a
    /// client has received it.
    is_mended: AtomicBool,
    answered: AtomicUsize,
}

impl Clients {
    async fn buy(&self, sale: &Sale, product: i64, waits: bool) {
        while !self.stop.load(Ordering::Relaxed) {
            if waits && !self.is_mended.load(Ordering::Relaxed) {
                assert_eq!(
                    sale.client()
                        .get(&format!("/api/products/{product}"))
                        .await
                        .status,
                    StatusCode::OK
                );
                continue;
            }
            sale.order(product, 1).await;
            let hold = sale.client().hold(product, 1, &[]).await;
            assert_eq!(hold.status, StatusCode::CREATED, "{hold:?}");
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn more(&self, what: &str) {
        let before = self.answered.load(Ordering::Relaxed);
        until(what, async || {
            (self.answered.load(Ordering::Relaxed) >= before + 10).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn drift_is_found_and_repaired_during_a_sale() {
    let sale = Sale::start().await;
    let mut products = Vec::new();
    for _ in PLANTED {
        let product = sale.product(1_000_000).await;
        buyers(&sale, product).await;
        products.push(product);
    }
    let (code, documents) = sale.operator(&["stock", "verify", "--json"]).await;
    assert_eq!(
        (code, only(documents)),
        (0, json!({"products": 5, "drift": []}))
    );
    for (product, (assignments, _)) in products.iter().zip(PLANTED) {
        plant(&sale, *product, assignments).await;
    }
    let expected: Vec<(i64, Vec<String>)> = products
        .iter()
        .zip(PLANTED)
        .map(|(product, (_, fields))| {
            (
                *product,
                fields.iter().map(|field| (*field).to_owned()).collect(),
            )
        })
        .collect();

    let clients = Clients {
        stop: AtomicBool::new(false),
        is_mended: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
    };
    let buying = join_all(
        products
            .iter()
            .enumerate()
            .map(|(n, product)| clients.buy(&sale, *product, n == 4)),
    );
    let operating = async {
        clients.more("clients to buy with wrong counts").await;
        let (code, found) = sale.operator(&["stock", "verify", "--json"]).await;
        let found = only(found);
        assert_eq!(
            (code, off(&found, "drift")),
            (1, expected.clone()),
            "{found}"
        );
        let sequence = &found["drift"][4]["off"]["hold_sequence"];
        assert_eq!(sequence, &json!({"stored": 5, "should_be": 10}));
        for (product, fields) in &expected {
            let (code, one) = sale
                .operator(&[
                    "stock",
                    "verify",
                    "--json",
                    "--product",
                    &product.to_string(),
                ])
                .await;
            assert_eq!(
                (code, off(&only(one), "drift")),
                (1, vec![(*product, fields.clone())])
            );
        }
        let (code, plan) = sale
            .operator(&["stock", "recalculate", "--dry-run", "--json"])
            .await;
        assert_eq!(
            (code, off(&only(plan), "would_repair")),
            (1, expected.clone())
        );

        let (code, repaired) = sale.operator(&["stock", "recalculate", "--json"]).await;
        let repaired = only(repaired);
        assert_eq!(
            (code, &repaired["beyond_repair"]),
            (0, &json!([])),
            "{repaired}"
        );
        for (repair, (product, fields)) in repaired["repaired"]
            .as_array()
            .unwrap()
            .iter()
            .zip(&expected)
        {
            let (before, after) = (repair["before"].as_object().unwrap(), &repair["after"]);
            let changed: Vec<_> = before
                .iter()
                .filter(|(name, value)| after[name] != **value)
                .collect();
            let changed: Vec<_> = changed.into_iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(
                (repair["product_id"].as_i64().unwrap(), &changed),
                (*product, fields),
                "{repair}"
            );
        }
        clients.is_mended.store(true, Ordering::Relaxed);
        clients.more("clients to buy with repaired counts").await;
        let (code, documents) = sale.operator(&["stock", "verify", "--json"]).await;
        assert_eq!(code, 0, "{documents:?}");
        clients.stop.store(true, Ordering::Relaxed);
    };
    futures_util::future::join(buying, operating).await;
    let (code, documents) = sale.operator(&["stock", "recalculate", "--json"]).await;
    assert_eq!(
        (code, only(documents)),
        (0, json!({"repaired": [], "beyond_repair": []}))
    );
    for product in products {
        let repairs = "SELECT count(*) FROM audit_trail
                       WHERE product_id = $1 AND kind = 'product.repaired' AND actor = 'operator'";
        assert_eq!(
            sale.count(repairs, product).await,
            1,
            "the audit does not have exactly one entry"
        );
    }
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn repair_keeps_accepted_holds_and_reports_oversell() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let name = product.to_string();
    sale.client().hold(product, 10, &[]).await;
    plant(&sale, product, "total_stock = 6, held_stock = 6").await;
    let (code, repaired) = sale
        .operator(&["stock", "recalculate", "--json", "--product", &name])
        .await;
    let repaired = only(repaired);
    assert_eq!(
        (code, &repaired["repaired"][0]["after"]["total_stock"]),
        (1, &json!(10)),
        "{repaired}"
    );
    assert_eq!(
        sale.client()
            .get(&format!("/api/products/{product}"))
            .await
            .body["held_stock"],
        10
    );
    assert_eq!(sale.operator(&["stock", "verify", "--json"]).await.0, 0);
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn retention_causes_no_drift_and_a_lost_payment_does() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let order = sale.order(product, 1).await;
    Webhook::new("a", &order, "a", "succeeded")
        .send(sale.client())
        .await;
    let released = sale.client().hold(product, 2, &[]).await;
    sale.client().delete(released.header("location")).await;
    sqlx::query("DELETE FROM holds WHERE status = 'released'")
        .execute(&sale.pool)
        .await
        .unwrap();
    let (code, documents) = sale.operator(&["stock", "verify", "--json"]).await;
    assert_eq!(
        (code, only(documents)),
        (0, json!({"products": 1, "drift": []}))
    );

    sqlx::query("UPDATE orders SET payment_id = 'another'")
        .execute(&sale.pool)
        .await
        .unwrap();
    let missing = json!({"paid_orders_without_payment": {"stored": 1, "should_be": 0}});
    let (code, documents) = sale.operator(&["stock", "verify", "--json"]).await;
    assert_eq!((code, &only(documents)["drift"][0]["off"]), (1, &missing));
    let (code, documents) = sale.operator(&["stock", "recalculate", "--json"]).await;
    let document = only(documents);
    assert_eq!(
        (
            code,
            &document["repaired"],
            &document["beyond_repair"][0]["off"]
        ),
        (1, &json!([]), &missing)
    );
    let (code, documents) = sale.operator(&["stock", "verify", "--product", "99"]).await;
    assert_eq!((code, documents), (2, vec![]), "there is no such product");
}

#[tokio::test]
async fn stock_is_verified_and_recalculated_over_http() {
    let sale = Sale::start().await;
    let (lamp, other) = (sale.product(10).await, sale.product(100).await);
    buyers(&sale, other).await;
    let everything = "/api/admin/stock/verify";
    assert_eq!(
        sale.admin_get(everything).await.body,
        json!({"products": 2, "drift": [], "next": null})
    );
    plant(&sale, lamp, PLANTED[0].0).await;
    let off = json!({"available_stock": {"stored": 7, "should_be": 10}, "held_stock": {"stored": 3, "should_be": 0}});
    let finding = json!({"product_id": lamp, "name": "Lamp", "can_be_mended": true, "off": off});
    assert_eq!(
        sale.admin_get(everything).await.body["drift"],
        json!([finding])
    );
    let one = sale
        .admin_get(&format!("{everything}?product_id={lamp}"))
        .await;
    assert_eq!(
        one.body,
        json!({"products": 1, "drift": [finding], "next": null})
    );
    let slot = holdfast_common::id::ProductId(lamp).slot().get();
    let behind = sale
        .admin_get(&format!("{everything}?after={}", slot + 1))
        .await;
    assert_eq!(
        behind.body["drift"],
        json!([]),
        "the page has a product of an earlier slot"
    );

    let repaired = sale
        .admin_post(
            &format!("/api/admin/products/{lamp}/recalculate"),
            &json!({}),
        )
        .await;
    let counts = |name: &str| {
        (
            &repaired.body["before"][name],
            &repaired.body["after"][name],
        )
    };
    assert_eq!(
        counts("available_stock"),
        (&json!(7), &json!(10)),
        "{repaired:?}"
    );
    assert_eq!(sale.admin_get(everything).await.body["drift"], json!([]));
    assert_eq!(
        sale.admin_post("/api/admin/products/99/recalculate", &json!({}))
            .await
            .problem(),
        "product_not_found"
    );
    assert_eq!(
        sale.admin_get(&format!("{everything}?product_id=99"))
            .await
            .problem(),
        "product_not_found"
    );
    for bad in ["product_id=x", "product_id=0", "after=4096", "after=-1"] {
        assert_eq!(
            sale.admin_get(&format!("{everything}?{bad}"))
                .await
                .problem(),
            "invalid_request",
            "{bad}"
        );
    }
    assert_invariants(&sale.pool).await;
}
