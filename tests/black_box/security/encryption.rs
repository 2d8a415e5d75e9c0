//! Tests of encryption: the ids of customers and payments are encrypted in all stored data, can be searched, and are
//! decrypted in authorized responses.

use std::path::{Path, PathBuf};

use holdfast_stack::Stack;
use holdfast_tests::{
    Answer, Process, Sale, SaleBuilder, Webhook, assert_invariants, start_stack, until,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

pub(crate) const A: &str = "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const B: &str = "b:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";
pub(crate) const INDEX: &str = "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
/// A text that is part of every customer id and payment id of these tests, and of nothing else.
const CANARY: &str = "canary_7d1f";

fn customer(name: &str) -> String {
    format!("customer-{CANARY}-{name}")
}

fn payment(name: &str) -> String {
    format!("pay-{CANARY}-{name}")
}

pub(crate) fn sealed(builder: SaleBuilder) -> SaleBuilder {
    builder
        .setting("ENCRYPTION_KEYS", A)
        .setting("ENCRYPTION_INDEX_KEY", INDEX)
}

/// A sale without encryption keys, also when `HOLDFAST_SEALED` is set.
pub(crate) fn plain(builder: SaleBuilder) -> SaleBuilder {
    builder
        .setting("ENCRYPTION_KEYS", "")
        .setting("ENCRYPTION_INDEX_KEY", "")
}

async fn limited(sale: &Sale, max_per_customer: i64) -> i64 {
    let body = json!({"name": "Lamp", "price_minor": 1, "currency": "USD", "total_stock": 100,
        "max_per_customer": max_per_customer});
    sale.admin_post("/api/admin/products", &body).await.body["id"]
        .as_i64()
        .unwrap()
}

async fn hold(sale: &Sale, product: i64, name: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({"product_id": product, "quantity": 1, "customer_id": customer(name)});
    sale.client().post("/api/holds", headers, &body).await
}

async fn held(sale: &Sale, product: i64, name: &str) -> String {
    let hold = hold(sale, product, name, &[]).await;
    hold.body["hold_id"]
        .as_str()
        .unwrap_or_else(|| panic!("{hold:?}"))
        .to_owned()
}

async fn ordered(sale: &Sale, product: i64, name: &str) -> String {
    let hold_id = held(sale, product, name).await;
    let order = sale
        .client()
        .post(
            "/api/orders",
            &[("idempotency-key", name)],
            &json!({"hold_id": hold_id}),
        )
        .await;
    assert_eq!(order.status, StatusCode::CREATED, "{order:?}");
    hold_id
}

/// Sends an idempotency key, so that the request can be repeated.
async fn release(sale: &Sale, hold: &str) -> Answer {
    let path = format!("/api/holds/{hold}");
    sale.client()
        .send(
            reqwest::Method::DELETE,
            &path,
            &[("idempotency-key", hold)],
            None,
        )
        .await
}

async fn pay(sale: &Sale, order: &str, name: &str, status: &str) -> Answer {
    Webhook::new(name, order, &payment(name), status)
        .send(sale.client())
        .await
}

/// The tables that contain a text in any column, as text.
async fn tables_with(sale: &Sale, text: &str) -> Vec<String> {
    let tables = "SELECT relname::text FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace";
    let tables: Vec<String> = sqlx::query_scalar(tables)
        .fetch_all(&sale.pool)
        .await
        .unwrap();
    assert!(tables.len() > 10, "{tables:?}");
    let mut found = Vec::new();
    for table in tables {
        let rows = format!(
            "SELECT count(*) FROM {table} WHERE strpos({table}::text, $1) > 0 OR strpos({table}::text, $2) > 0"
        );
        let count = sqlx::query_scalar(AssertSqlSafe(rows))
            .bind(text)
            .bind(as_hex(text));
        let count: i64 = count.fetch_one(&sale.pool).await.unwrap();
        found.extend((count > 0).then_some(table));
    }
    found
}

/// The text in the hexadecimal form of `bytea`.
fn as_hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

/// The files below a directory that contain a text.
fn files_with(directory: &Path, text: &str) -> Vec<PathBuf> {
    let (mut found, mut to_read) = (Vec::new(), vec![directory.to_owned()]);
    while let Some(path) = to_read.pop() {
        // Files that Postgres removes during the search are skipped.
        if path.is_dir() {
            to_read.extend(
                std::fs::read_dir(path)
                    .into_iter()
                    .flatten()
                    .map(|entry| entry.unwrap().path()),
            );
        } else if let Ok(bytes) = std::fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        {
            found.push(path);
        }
    }
    found
}

/// Runs all operations with customer ids and payment ids, and checks that authorized responses contain the plain ids.
async fn sell(sale: &Sale) {
    let product = limited(sale, 2).await;
    let order = ordered(sale, product, "one").await;
    let shown = sale.client().get(&format!("/api/holds/{order}")).await;
    assert_eq!(shown.body["customer_id"], customer("one"));
    assert_eq!(
        pay(sale, &order, "early", "succeeded").await.body["order_status"],
        "paid"
    );
    assert_eq!(
        pay(sale, &order, "twice", "succeeded").await.body["result"],
        "refund_due"
    );
    assert_eq!(
        pay(sale, &order, "late", "failed").await.body["result"],
        "ignored"
    );
    let again = Webhook::new("another-key", &order, &payment("early"), "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(
        again.body["result"], "duplicate",
        "the repeated payment was not found by its id"
    );
    let released = held(sale, product, "one").await;
    assert_eq!(
        hold(sale, product, "one", &[]).await.problem(),
        "purchase_limit_reached"
    );
    for replayed in ["", "true"] {
        let given_back = release(sale, &released).await;
        let report = (
            given_back.header("idempotent-replayed"),
            &given_back.body["customer_id"],
        );
        assert_eq!(
            report,
            (replayed, &json!(customer("one"))),
            "{given_back:?}"
        );
    }
    let parked = held(sale, product, "two").await;
    assert_eq!(
        pay(sale, &parked, "parked", "succeeded").await.body["result"],
        "parked"
    );
    let cancelled = ordered(sale, product, "three").await;
    assert_eq!(
        pay(sale, &cancelled, "failed", "failed").await.body["order_status"],
        "cancelled"
    );
    assert_eq!(
        pay(sale, &cancelled, "reallocated", "succeeded").await.body["result"],
        "reallocated"
    );
    let later = hold(
        sale,
        product,
        "four",
        &[("prefer", "respond-async"), ("idempotency-key", "four")],
    )
    .await;
    assert_eq!(later.status, StatusCode::ACCEPTED);
    crate::buying::requests::done(sale.client(), later.header("location")).await;

    let page = sale.admin_get("/api/admin/refunds?limit=1").await;
    assert_eq!(
        page.body["refunds"][0]["payment_id"],
        payment("twice"),
        "{page:?}"
    );
    let all = ["state=applied", "state=applied&limit=1"]
        .map(|query| format!("/api/admin/payments?{query}"));
    let first = sale.admin_get(&all[1]).await;
    let next = format!("{}&after={}", all[1], first.body["next"].as_str().unwrap());
    let pages = [first.body, sale.admin_get(&next).await.body]
        .map(|page| page["payments"][0]["payment_id"].clone());
    let listed = sale.admin_get(&all[0]).await.body;
    assert_eq!(
        pages.to_vec(),
        [0, 1]
            .map(|at| listed["payments"][at]["payment_id"].clone())
            .to_vec(),
        "the second page is wrong"
    );
    let resolve = ["refunds", "resolve", &order, &payment("twice")];
    let (ended_well, output) = sale.holdfast(&resolve).await;
    assert!(ended_well && output.contains("is refunded"), "{output}");
    dead_letter(sale).await;
}

/// Makes a dead letter that contains a customer id, and retries it successfully.
async fn dead_letter(sale: &Sale) {
    let product = sale.product(10).await;
    let broken = async |currency: &str| {
        let broken = sqlx::query("UPDATE products SET currency = $2 WHERE product_id = $1");
        broken
            .bind(product)
            .bind(currency)
            .execute(&sale.pool)
            .await
            .unwrap();
    };
    broken("???").await;
    for name in ["retried", "waiting"] {
        assert_eq!(
            hold(sale, product, name, &[]).await.problem(),
            "command_failed"
        );
    }
    broken("USD").await;
    let letters = sale.admin_get("/api/admin/dead-letters").await.body["dead_letters"].clone();
    let path = |at: usize| format!("/api/admin/dead-letters/{}", letters[at]["id"]);
    let shown = sale.admin_get(&path(0)).await;
    assert_eq!(
        shown.body["command"]["CreateHold"]["customer_id"],
        customer("retried"),
        "{shown:?}"
    );
    let retried = sale
        .admin_post(&format!("{}/retry", path(0)), &json!({}))
        .await;
    assert_eq!(retried.body["status"], "retried", "{retried:?}");
}

#[tokio::test]
async fn encryption_leaves_no_plain_text_in_tables_and_files() {
    for is_sealed in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let stack: Stack = start_stack(&directory.path().join("stack")).await;
        let builder = SaleBuilder::default()
            .on(&stack, directory.path())
            .setting("EVENT_RETRY_SECONDS", "1");
        let builder = builder
            .setting("EVENT_URLS", "http://127.0.0.1:9/events")
            .setting("REFUND_URL", "http://127.0.0.1:9/");
        let builder = if is_sealed {
            sealed(builder)
        } else {
            plain(builder)
        };
        let sale = builder.start().await;
        sell(&sale).await;
        let buried = "SELECT count(*) FROM event_dead_letters WHERE $1 = $1";
        until("an event to become a dead letter", async || {
            (sale.count(buried, 0).await > 0).then_some(())
        })
        .await;
        sqlx::query("CHECKPOINT").execute(&sale.pool).await.unwrap();
        assert_invariants(&sale.pool).await;
        let (tables, files) = (
            tables_with(&sale, CANARY).await,
            files_with(&directory.path().join("stack"), CANARY),
        );
        let is_below = |name: &str| {
            files
                .iter()
                .any(|file| file.starts_with(directory.path().join("stack").join(name)))
        };
        if is_sealed {
            assert_eq!((tables, files), (Vec::<String>::new(), Vec::new()));
        } else {
            // Without encryption, the search must find the texts. This shows that the search works.
            for table in ["holds", "orders", "payments", "outcomes", "dead_letters"] {
                assert!(
                    tables.contains(&table.to_owned()),
                    "not in {table}: {tables:?}"
                );
            }
            assert!(is_below("nats") && is_below("postgres"), "{files:?}");
            let sealed = "SELECT count(*) FROM holds WHERE customer_sealed IS NOT NULL AND $1 = $1";
            assert_eq!(
                sale.count(sealed, 0).await,
                0,
                "rows are encrypted without keys"
            );
        }
        drop(sale);
        stack.stop().await.unwrap();
    }
}

/// Runs `holdfast keys rotate` with this keyring; returns its exit code and output.
async fn rotate(sale: &Sale, ring: &str) -> (i32, Value) {
    let settings = [("ENCRYPTION_KEYS", ring), ("ENCRYPTION_INDEX_KEY", INDEX)];
    let mut process = sale.holdfast_with(&["keys", "rotate", "--json"], &settings);
    let code = process.exit_status().await.code().unwrap();
    let output = process.output();
    (
        code,
        output
            .lines()
            .find_map(|line| serde_json::from_str(line).ok())
            .unwrap_or(Value::String(output)),
    )
}

async fn restart(sale: &mut Sale, ring: &str) {
    sale.stop().await;
    sale.set("ENCRYPTION_KEYS", Some(ring));
    sale.set("ENCRYPTION_INDEX_KEY", Some(INDEX));
    sale.start_ingress().await;
    sale.start_worker().await;
}

/// Checks that the programs do not start with these settings, and log the reason.
async fn refused(sale: &Sale, ring: &str, index: &str, words: &str) {
    let settings = [("ENCRYPTION_KEYS", ring), ("ENCRYPTION_INDEX_KEY", index)];
    let mut programs: Vec<Process> =
        vec![sale.worker_with(&settings), sale.ingress_with(&settings)];
    programs.push(sale.holdfast_with(&["refunds", "list"], &settings));
    for mut program in programs {
        assert!(
            !program.ended().await,
            "the program started:\n{}",
            program.output()
        );
        let output = program.output();
        assert!(
            output.contains(words),
            "{words:?} is not in the log:\n{output}"
        );
        assert!(
            !output.contains("AAAA") && !output.contains("AQEB") && !output.contains("AgIC"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn rotated_keyring_decrypts_and_finds_all_rows() {
    let mut sale = sealed(SaleBuilder::default()).start().await;
    let product = limited(&sale, 2).await;
    let order = ordered(&sale, product, "one").await;
    assert_eq!(
        pay(&sale, &order, "first", "succeeded").await.body["order_status"],
        "paid"
    );
    let released = held(&sale, product, "one").await;
    release(&sale, &released).await;
    dead_letter(&sale).await;

    // The rotation of an operator: first the new key is added, then it becomes the first key, then it is the only key.
    restart(&mut sale, &format!("{A},{B}")).await;
    let (code, report) = rotate(&sale, &format!("{B},{A}")).await;
    assert_eq!(
        (code, &report["still_needed"], &report["passed_over"]),
        (1, &json!(["a"]), &json!(0)),
        "{report}"
    );
    assert!(
        report["texts"].as_i64() >= Some(5) && report["outcomes"].as_i64() >= Some(2),
        "{report}"
    );
    assert_eq!(report["dead_letters"], 2, "{report}");
    let active = held(&sale, product, "one").await;
    refused(&sale, A, INDEX, "lacks the key `b`").await;
    restart(&mut sale, &format!("{B},{A}")).await;
    let (code, report) = rotate(&sale, &format!("{B},{A}")).await;
    assert_eq!(
        (code, &report["not_needed"]),
        (0, &json!(["a"])),
        "{report}"
    );
    assert!(
        report["texts"].as_i64() >= Some(1),
        "rows encrypted since the first rotation: {report}"
    );
    restart(&mut sale, B).await;
    let (code, report) = rotate(&sale, B).await;
    assert_eq!(
        (code, &report["texts"], &report["outcomes"], &report["keys"]),
        (0, &json!(0), &json!(0), &json!(0))
    );

    for id in [&order, &released, &active] {
        let shown = sale.client().get(&format!("/api/holds/{id}")).await;
        assert_eq!(shown.body["customer_id"], customer("one"), "{shown:?}");
    }
    assert_eq!(
        sale.client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body["payment_id"],
        payment("first")
    );
    let repeated = release(&sale, &released).await;
    let report = (
        repeated.header("idempotent-replayed"),
        &repeated.body["customer_id"],
    );
    assert_eq!(report, ("true", &json!(customer("one"))));
    assert_eq!(
        hold(&sale, product, "one", &[]).await.problem(),
        "purchase_limit_reached"
    );
    let again = Webhook::new("other", &order, &payment("first"), "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(again.body["result"], "duplicate");
    let (ended_well, output) = sale.holdfast(&["dead-letters", "list", "--json"]).await;
    assert!(
        ended_well && output.contains(&customer("waiting")),
        "{output}"
    );
    assert_eq!(tables_with(&sale, CANARY).await, Vec::<String>::new());
    assert_invariants(&sale.pool).await;

    refused(&sale, A, INDEX, "lacks the key `b`").await;
    refused(
        &sale,
        &A.replace("a:", "b:"),
        INDEX,
        "a different key with the name `b`",
    )
    .await;
    refused(
        &sale,
        &format!("{A},{B}"),
        INDEX,
        "first key of ENCRYPTION_KEYS, `a`, yet",
    )
    .await;
    refused(
        &sale,
        B,
        &INDEX.replace("AgIC", "AwIC"),
        "ENCRYPTION_INDEX_KEY is not the index key",
    )
    .await;
    refused(&sale, "", "", "are encrypted: set ENCRYPTION_KEYS").await;
    refused(&sale, B, "", "set both, or neither").await;
}

#[tokio::test]
async fn plain_rows_must_be_encrypted_before_a_start_with_keys() {
    let mut sale = plain(SaleBuilder::default()).start().await;
    let product = limited(&sale, 2).await;
    let keyed = hold(&sale, product, "one", &[("idempotency-key", "k")]).await;
    let order = ordered(&sale, product, "one").await;
    for name in ["first", "second"] {
        pay(&sale, &order, name, "succeeded").await;
    }
    dead_letter(&sale).await;
    refused(&sale, A, INDEX, "run `holdfast keys rotate`").await;
    let (code, report) = rotate(&sale, A).await;
    assert!(
        code == 2
            && report
                .as_str()
                .unwrap()
                .contains("runs without ENCRYPTION_KEYS"),
        "{report}"
    );
    let begun = "INSERT INTO encryption (index_check, is_whole) VALUES ($1, false)";
    assert_eq!(
        hold(&sale, product, "two", &[]).await.status,
        StatusCode::CREATED,
        "the running sale refuses holds"
    );
    // A rotation has begun. A worker without keys that starts now detects it, and writes nothing.
    sqlx::query(begun)
        .bind(b"another".as_slice())
        .execute(&sale.pool)
        .await
        .unwrap();
    assert!(!sale.workers[0].ended().await);
    assert!(
        sale.workers[0]
            .output()
            .contains("are encrypted: set ENCRYPTION_KEYS"),
        "{}",
        sale.workers[0].output()
    );
    sale.stop().await;
    let (code, report) = rotate(&sale, A).await;
    assert!(
        code == 2
            && report
                .as_str()
                .unwrap()
                .contains("ENCRYPTION_INDEX_KEY is not the index key"),
        "{report}"
    );
    sqlx::query("DELETE FROM encryption")
        .execute(&sale.pool)
        .await
        .unwrap();
    // A worker with keys applies the commands of an ingress without keys.
    sale.set("ENCRYPTION_KEYS", None);
    let (code, report) = rotate(&sale, A).await;
    assert_eq!((code, &report["passed_over"]), (0, &json!(0)), "{report}");
    assert!(
        report["texts"].as_i64() >= Some(6) && report["keys"].as_i64() >= Some(4),
        "{report}"
    );
    assert_eq!(tables_with(&sale, CANARY).await, Vec::<String>::new());
    restart(&mut sale, A).await;

    let repeated = hold(&sale, product, "one", &[("idempotency-key", "k")]).await;
    assert_eq!(
        (repeated.header("idempotent-replayed"), &repeated.body),
        ("true", &keyed.body)
    );
    let repeated = sale
        .client()
        .post(
            "/api/orders",
            &[("idempotency-key", "one")],
            &json!({"hold_id": order}),
        )
        .await;
    assert_eq!(
        (repeated.status, repeated.header("idempotent-replayed")),
        (StatusCode::CREATED, "true"),
        "{repeated:?}"
    );
    let other = sale
        .client()
        .hold(product, 2, &[("idempotency-key", "k")])
        .await;
    assert_eq!(other.problem(), "idempotency_key_reused");
    assert_eq!(
        hold(&sale, product, "one", &[]).await.problem(),
        "purchase_limit_reached"
    );
    let same = pay(&sale, &order, "second", "succeeded").await;
    assert_eq!(
        (same.header("idempotent-replayed"), &same.body["result"]),
        ("true", &json!("refund_due")),
        "{same:?}"
    );
    let again = Webhook::new("other", &order, &payment("first"), "succeeded")
        .send(sale.client())
        .await;
    assert_eq!(again.body["result"], "duplicate");
    assert_eq!(
        sale.count("SELECT count(*) FROM payments WHERE $1 = $1", 0)
            .await,
        2
    );
    assert_eq!(
        sale.client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body["payment_id"],
        payment("first")
    );
    refused(&sale, "", "", "are encrypted: set ENCRYPTION_KEYS").await;
    assert_invariants(&sale.pool).await;
}
