//! Tests of operators' commands: unmatched payments, refunds, lists, retention and health.

use holdfast_tests::{Sale, Webhook, assert_invariants, until};
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

/// Makes an order that is paid twice, so that the second payment is refunded.
async fn paid_twice(sale: &Sale, product: i64, name: &str) -> String {
    let order = sale.order(product, 1).await;
    for payment in ["first", "second"] {
        let id = format!("{name}-{payment}");
        Webhook::new(&id, &order, &id, "succeeded")
            .send(sale.client())
            .await;
    }
    order
}

fn ids(document: &Value, list: &str) -> Vec<String> {
    let listed = document[list]
        .as_array()
        .unwrap_or_else(|| panic!("{document}"));
    listed
        .iter()
        .map(|one| one["payment_id"].as_str().unwrap().to_owned())
        .collect()
}

/// Moves all rows of a table into the past.
async fn age(sale: &Sale, table: &str, column: &str, hours: u32) {
    let update = format!("UPDATE {table} SET {column} = {column} - interval '{hours} hours'");
    sqlx::query(AssertSqlSafe(update))
        .execute(&sale.pool)
        .await
        .unwrap();
}

#[tokio::test]
async fn refunds_are_listed_repeated_and_resolved() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let (a, b) = (
        paid_twice(&sale, product, "a").await,
        paid_twice(&sale, product, "b").await,
    );
    let listed = sale.admin_get("/api/admin/refunds").await;
    assert_eq!(ids(&listed.body, "refunds"), ["a-second", "b-second"]);
    let first = &listed.body["refunds"][0];
    assert_eq!(
        [
            &first["order_id"],
            &first["state"],
            &first["refund_reason"],
            &first["amount_minor"],
            &first["currency"]
        ],
        [
            &json!(a),
            &json!("refund_due"),
            &json!("already_paid"),
            &json!(9999),
            &json!("USD")
        ]
    );
    let page = sale.admin_get("/api/admin/refunds?limit=1").await.body;
    assert_eq!(ids(&page, "refunds"), ["a-second"]);
    let next = format!(
        "/api/admin/refunds?after={}",
        page["next"].as_str().unwrap()
    );
    let page = sale.admin_get(&next).await.body;
    assert_eq!(
        (ids(&page, "refunds"), &page["next"]),
        (vec!["b-second".to_owned()], &Value::Null)
    );

    let (ended_well, output) = sale
        .holdfast(&["refunds", "resolve", &format!("order_{a}"), "a-second"])
        .await;
    assert!(
        ended_well && output.contains("a-second is refunded"),
        "{output}"
    );
    assert_eq!(
        sale.client().get(&format!("/api/orders/{a}")).await.body["refund_status"],
        "refunded"
    );
    let (ended_well, output) = sale.holdfast(&["refunds", "retry", &a, "a-second"]).await;
    assert!(
        !ended_well && output.contains("was already returned"),
        "{output}"
    );
    let (ended_well, output) = sale.holdfast(&["refunds", "retry", &b, "b-second"]).await;
    assert!(
        ended_well && output.contains("b-second is refund_due"),
        "{output}"
    );
    for (order, payment) in [(&b, "b-first"), (&b, "unknown"), (&a, "b-second")] {
        let (ended_well, output) = sale.holdfast(&["refunds", "resolve", order, payment]).await;
        assert!(!ended_well, "{output}");
    }
    let (ended_well, output) = sale.holdfast(&["refunds", "list"]).await;
    assert!(
        ended_well && output.contains("b-second") && !output.contains("a-second"),
        "{output}"
    );
    let (_, output) = sale
        .holdfast(&["refunds", "list", "--state", "refunded", "--json"])
        .await;
    let line: Value = serde_json::from_str(output.trim()).unwrap();
    assert_eq!(
        (&line["order_id"], &line["payment_id"]),
        (&json!(a), &json!("a-second"))
    );
    let refunded = sale
        .admin_get("/api/admin/refunds?state=refunded")
        .await
        .body;
    assert_eq!(ids(&refunded, "refunds"), ["a-second"]);
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn unmatched_payment_is_listed_and_pays_a_later_order() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 1, &[]).await.body["hold_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let unknown = "01a205c9-8f56-8cc1-9b7d-29b3ac88daff";
    for (order, payment) in [(unknown, "stray"), (&*hold, "early")] {
        let parked = Webhook::new(payment, order, payment, "succeeded")
            .send(sale.client())
            .await;
        assert_eq!(parked.body["result"], "parked");
    }
    assert_eq!(
        ids(
            &sale
                .admin_get("/api/admin/payments?state=parked")
                .await
                .body,
            "payments"
        ),
        ["stray", "early"]
    );
    age(&sale, "payments", "received_at", 25).await;
    let listed = until("both to be listed as unmatched", async || {
        let listed = ids(
            &sale
                .admin_get("/api/admin/payments?state=unmatched")
                .await
                .body,
            "payments",
        );
        (listed.len() == 2).then_some(listed)
    })
    .await;
    assert_eq!(listed, ["stray", "early"]);
    let order = sale
        .client()
        .post("/api/orders", &[], &json!({"hold_id": hold}))
        .await;
    assert_eq!(order.body["status"], "paid", "{order:?}");
    assert_eq!(
        sale.admin_get("/api/admin/overview").await.body["payments_unmatched"],
        1
    );
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn unmatched_payment_leaves_the_list_when_resolved() {
    let sale = Sale::start().await;
    sale.product(10).await;
    let unknown = "01a205c9-8f56-8cc1-9b7d-29b3ac88daff";
    for (payment, status) in [
        ("by-http", "succeeded"),
        ("by-hand", "succeeded"),
        ("failed", "failed"),
    ] {
        Webhook::new(payment, unknown, payment, status)
            .send(sale.client())
            .await;
    }
    age(&sale, "payments", "received_at", 25).await;
    let unmatched = async |expected: i64| {
        until("this number of unmatched payments", async || {
            let overview = sale.admin_get("/api/admin/overview").await.body;
            (overview["payments_unmatched"] == expected).then_some(())
        })
        .await;
    };
    unmatched(3).await;
    let failed = sale
        .admin_post(
            "/api/admin/refunds/resolve",
            &json!({"order_id": unknown, "payment_id": "failed"}),
        )
        .await;
    assert_eq!(
        failed.body["state"], "ignored",
        "a failed payment needs no refund: {failed:?}"
    );
    unmatched(2).await;

    let by_http = json!({"order_id": unknown, "payment_id": "by-http"});
    let retried = sale.admin_post("/api/admin/refunds/retry", &by_http).await;
    assert_eq!(
        retried.problem(),
        "no_refund_owed",
        "the refund was requested"
    );
    for _ in 0..2 {
        let resolved = sale
            .admin_post("/api/admin/refunds/resolve", &by_http)
            .await;
        assert_eq!(
            (resolved.status.as_u16(), &resolved.body["state"]),
            (200, &json!("refunded")),
            "{resolved:?}"
        );
    }
    unmatched(1).await;
    let (code, resolved) = sale
        .operator(&["refunds", "resolve", unknown, "by-hand", "--json"])
        .await;
    assert_eq!((code, &resolved[0]["state"]), (0, &json!("refunded")));
    unmatched(0).await;
    let refunded = sale
        .admin_get("/api/admin/refunds?state=refunded")
        .await
        .body;
    assert_eq!(ids(&refunded, "refunds").len(), 2);
    assert_eq!(refunded["refunds"][0]["refund_reason"], "unmatched");
    let resolved = "SELECT count(*) FROM audit_trail WHERE kind = 'payment.refunded' AND actor = 'operator' AND slot >= $1";
    assert_eq!(sale.count(resolved, 0).await, 2);
    let again = Webhook::new("again", unknown, "by-http", "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(again.body["result"], "duplicate", "{again:?}");
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn lists_reject_unknown_values() {
    let sale = Sale::start().await;
    let paths = ["/api/admin/payments", "/api/admin/refunds"];
    for path in paths {
        for query in [
            "state=lost",
            "limit=0",
            "limit=201",
            "limit=x",
            "after=x",
            "after=1.2.3",
        ] {
            let answer = sale.admin_get(&format!("{path}?{query}")).await;
            assert_eq!(
                (answer.status.as_u16(), answer.problem()),
                (422, "invalid_request"),
                "{path}?{query}"
            );
        }
    }
    for path in [paths[0], paths[1], "/api/admin/overview"] {
        assert_eq!(sale.client().get(path).await.problem(), "unauthorized");
        assert_eq!(sale.admin_get(path).await.status.as_u16(), 200);
    }
}

#[tokio::test]
async fn retention_removes_old_rows_and_never_payments() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let keyed = sale
        .client()
        .hold(product, 1, &[("idempotency-key", "k")])
        .await;
    sale.client().delete(keyed.header("location")).await;
    let released = sale
        .client()
        .hold(product, 1, &[])
        .await
        .header("location")
        .to_owned();
    sale.client().delete(&released).await;
    let order = paid_twice(&sale, product, "a").await;
    let stray = "01a205c9-8f56-8cc1-9b7d-29b3ac88daff";
    Webhook::new("stray", stray, "stray", "succeeded")
        .send(sale.client())
        .await;
    let prune = async || {
        let (ended_well, output) = sale.holdfast(&["prune", "--json"]).await;
        assert!(ended_well, "{output}");
        let pruned: Value = serde_json::from_str(output.lines().last().unwrap()).unwrap();
        [&pruned["keys"], &pruned["outcomes"], &pruned["holds"]]
            .map(|count| count.as_i64().unwrap())
    };
    assert_eq!(prune().await, [0, 0, 0], "recent rows were removed");
    // Older than the retention of keys, but not of ended holds and orders.
    age(&sale, "idempotency_keys", "used_at", 8 * 24).await;
    let [keys, outcomes, holds] = prune().await;
    assert_eq!(
        (keys, outcomes, holds),
        (4, 0, 0),
        "the removed keys are not one of a hold and three of webhooks"
    );
    let outcomes = sale
        .count("SELECT count(*) FROM outcomes WHERE slot >= $1", 0)
        .await;
    age(&sale, "outcomes", "created_at", 31 * 24).await;
    age(&sale, "holds", "ended_at", 31 * 24).await;
    assert_eq!(prune().await, [0, outcomes, 2]);
    assert_eq!(
        sale.client().get(&released).await.problem(),
        "hold_not_found"
    );
    assert_eq!(
        sale.client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body["status"],
        "paid"
    );
    assert_eq!(
        sale.count("SELECT count(*) FROM payments WHERE arrival >= $1", 0)
            .await,
        3
    );
}

#[tokio::test]
async fn health_command_detects_an_unhealthy_program() {
    let sale = Sale::start().await;
    let url = |path: &str| format!("http://{}{path}", sale.client().address());
    for (url, code, status) in [
        (url("/readyz"), 0, json!(200)),
        (url("/nowhere"), 1, json!(404)),
        ("http://127.0.0.1:1/healthz".to_owned(), 1, Value::Null),
    ] {
        let (exit, printed) = sale.operator(&["health", "--json", &url]).await;
        assert_eq!(
            (exit, &printed[..]),
            (code, &[json!({"ok": code == 0, "status": status})][..]),
            "{url}"
        );
    }
    assert_eq!(
        sale.operator(&["health", "https://127.0.0.1:1/"]).await.0,
        2
    );
}
