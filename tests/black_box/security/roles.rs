//! Tests of the Postgres roles of ingress and worker: statements that Postgres must reject.

use holdfast_tests::Sale;
use serde_json::json;
use sqlx::{AssertSqlSafe, PgPool};

/// The error of Postgres for a statement under a role; `None` when the role may run it.
async fn refusal(pool: &PgPool, role: &str, statement: &str) -> Option<String> {
    let mut transaction = pool.begin().await.unwrap();
    sqlx::query(AssertSqlSafe(format!("SET LOCAL ROLE {role}")))
        .execute(&mut *transaction)
        .await
        .unwrap();
    let done = sqlx::query(AssertSqlSafe(statement.to_owned()))
        .execute(&mut *transaction)
        .await;
    let sqlx::Error::Database(error) = done.err()? else {
        panic!("{statement}: failed for another reason")
    };
    error.code().map(|code| code.into_owned())
}

const INSUFFICIENT_PRIVILEGE: &str = "42501";

async fn assert_refused(pool: &PgPool, role: &str, statement: &str) {
    let refused = refusal(pool, role, statement).await;
    assert_eq!(
        refused.as_deref(),
        Some(INSUFFICIENT_PRIVILEGE),
        "{role}: {statement}"
    );
}

async fn assert_allowed(pool: &PgPool, role: &str, statement: &str) {
    assert_eq!(
        refusal(pool, role, statement).await,
        None,
        "{role}: {statement}"
    );
}

#[tokio::test]
async fn ingress_role_can_read_and_not_write() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    sale.order(product, 1).await;
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT tablename::text FROM pg_tables WHERE schemaname = 'public'")
            .fetch_all(&sale.pool)
            .await
            .unwrap();
    assert!(
        tables.iter().any(|table| table == "products")
            && tables.iter().any(|table| table == "audit"),
        "{tables:?}"
    );
    for table in tables {
        for statement in [
            "INSERT INTO % DEFAULT VALUES",
            "DELETE FROM %",
            "TRUNCATE %",
        ] {
            assert_refused(
                &sale.pool,
                "holdfast_ingress",
                &statement.replace('%', &table),
            )
            .await;
        }
    }
    for statement in [
        "UPDATE products SET available_stock = available_stock",
        "UPDATE holds SET status = status",
        "UPDATE orders SET status = status",
        "UPDATE partitions SET epoch = epoch",
        "SELECT setval('product_ids', 1)",
        "SELECT prune_audit(0::smallint, 31, 1)",
    ] {
        assert_refused(&sale.pool, "holdfast_ingress", statement).await;
    }
    for statement in [
        "SELECT * FROM products",
        "SELECT nextval('product_ids')",
        "SELECT * FROM audit_trail",
    ] {
        assert_allowed(&sale.pool, "holdfast_ingress", statement).await;
    }
}

#[tokio::test]
async fn worker_role_can_only_append_to_the_audit() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    sale.order(product, 1).await;
    for statement in [
        "UPDATE audit SET log_seq = 0",
        "UPDATE audit SET at = now() - interval '1 year'",
        "DELETE FROM audit",
        "TRUNCATE audit",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "DROP TRIGGER audit_is_kept ON audit",
        "INSERT INTO audit (slot, product_id, at) VALUES (0, 0, now() - interval '1 year')",
        "DELETE FROM payments",
        "DELETE FROM orders",
        "DELETE FROM products",
    ] {
        assert_refused(&sale.pool, "holdfast_worker", statement).await;
    }
    let before = sale
        .count("SELECT count(*) FROM audit WHERE product_id = $1", product)
        .await;
    for days in ["0", "-1", "30", "null::integer"] {
        let prune = format!(
            "SELECT prune_audit(slot::smallint, {days}, 1000) FROM generate_series(0, 4095) AS slot"
        );
        assert_allowed(&sale.pool, "holdfast_worker", &prune).await;
    }
    let after = sale
        .count("SELECT count(*) FROM audit WHERE product_id = $1", product)
        .await;
    assert_eq!((before, after), (after, before), "nothing was old enough");
    assert!(before >= 2, "a product and an order left {before} rows");
}

#[tokio::test]
async fn programs_have_only_the_rights_of_their_roles() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    for (revoke, grant, status) in [
        // Without this right the ingress can't draw an id, and the worker can't apply the command.
        (
            "REVOKE USAGE ON SEQUENCE product_ids FROM holdfast_ingress",
            "GRANT USAGE ON SEQUENCE product_ids TO holdfast_ingress",
            503,
        ),
        (
            "REVOKE INSERT ON products FROM holdfast_worker",
            "GRANT INSERT ON products TO holdfast_worker",
            500,
        ),
    ] {
        sqlx::query(revoke).execute(&sale.pool).await.unwrap();
        let body = json!({"name": "Lamp", "price_minor": 1, "currency": "USD", "total_stock": 1});
        let answer = sale.admin_post("/api/admin/products", &body).await;
        assert_eq!(answer.status.as_u16(), status, "{revoke}: {answer:?}");
        sqlx::query(grant).execute(&sale.pool).await.unwrap();
    }
    assert!(sale.product(10).await > product);
}

#[tokio::test]
async fn audit_cannot_be_changed_and_old_entries_are_removable() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    for statement in [
        "UPDATE audit SET log_seq = 0",
        "DELETE FROM audit",
        "TRUNCATE audit",
    ] {
        let error = sqlx::query(statement)
            .execute(&sale.pool)
            .await
            .unwrap_err()
            .to_string();
        assert!(error.contains("the audit"), "{statement}: {error}");
    }
    // An entry that is a year old, inserted by a role with the right to do so.
    sqlx::query(
        "INSERT INTO audit (slot, product_id, partition, log_seq, at, available_before, held_before, sold_before, kind,
             actor, request_id, subject, quantity, sequence, available_after, held_after, sold_after)
         SELECT slot, product_id, partition, log_seq, now() - interval '1 year', available_before, held_before,
             sold_before, kind, actor, request_id, subject, quantity, sequence, available_after, held_after, sold_after
         FROM audit WHERE product_id = $1",
    )
    .bind(product)
    .execute(&sale.pool)
    .await
    .unwrap();
    let rows = "SELECT count(*) FROM audit WHERE product_id = $1";
    assert_eq!(sale.count(rows, product).await, 2);
    let (ended_well, printed) = sale.holdfast(&["prune", "--json"]).await;
    assert!(ended_well, "{printed}");
    let printed: serde_json::Value = serde_json::from_str(printed.lines().last().unwrap()).unwrap();
    assert_eq!(printed["audit"], 1, "{printed}");
    assert_eq!(sale.count(rows, product).await, 1);
}
