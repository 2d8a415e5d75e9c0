//! Tests of commands that can't be applied: they become dead letters, their clients get a reply, and other commands are
//! applied.

use futures_util::future::join_all;
use holdfast_common::partition_of_slot;
use holdfast_tests::{Answer, Sale, SaleBuilder, assert_invariants, metric_sum, until_metric};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::buying::requests::done;

async fn run(sale: &Sale, statement: String) {
    sqlx::query(AssertSqlSafe(statement))
        .execute(&sale.pool)
        .await
        .unwrap();
}

/// Makes Postgres fail with these error codes, one for each attempt to store a hold. A sequence counts the attempts, because
/// it is not rolled back.
pub(crate) async fn fail_holds(sale: &Sale, codes: &[&str]) {
    let codes = codes.join(",");
    run(sale, "CREATE SEQUENCE failures".to_owned()).await;
    let function = format!(
        "CREATE FUNCTION fail() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
         DECLARE code text := (string_to_array('{codes}', ','))[nextval('failures')];
         BEGIN
             IF code IS NOT NULL THEN RAISE EXCEPTION 'of a test' USING ERRCODE = code; END IF;
             RETURN NEW;
         END $$"
    );
    run(sale, function).await;
    run(
        sale,
        "CREATE TRIGGER fail BEFORE INSERT ON holds FOR EACH ROW EXECUTE FUNCTION fail()"
            .to_owned(),
    )
    .await;
}

#[tokio::test]
async fn command_is_retried_not_set_aside_while_postgres_fails() {
    // More failures than the number of tries before a command becomes a dead letter.
    const CODES: [&str; 8] = [
        "40001", "40P01", "40001", "40P01", "53100", "57014", "40001", "40P01",
    ];
    let mut sale = SaleBuilder::default().worker_http().start().await;
    let worker = sale.worker_client().await;
    let product = sale.product(10).await;
    fail_holds(&sale, &CODES).await;
    let queued = sale
        .client()
        .hold(product, 1, &[("prefer", "respond-async")])
        .await;
    assert_eq!(
        done(sale.client(), queued.header("location")).await["status"],
        201
    );
    assert_eq!(
        sale.count("SELECT count(*) FROM dead_letters WHERE $1 > 0", 1)
            .await,
        0
    );
    assert_eq!(
        metric_sum(&worker, "holdfast_dead_letters_total", &[]).await,
        0.0
    );
    for (cause, times) in [
        ("serialization", 3.0),
        ("deadlock", 3.0),
        ("postgres", 2.0),
        ("content", 0.0),
    ] {
        assert_eq!(
            metric_sum(
                &worker,
                "holdfast_batch_failures_total",
                &[("cause", cause)]
            )
            .await,
            times,
            "{cause}"
        );
    }
    assert_invariants(&sale.pool).await;
}

/// Creates two products of one partition, so that one batch has commands for both.
async fn two_products_of_a_partition(sale: &Sale) -> (i64, i64) {
    let mut products = Vec::new();
    for _ in 0..9 {
        products.push(sale.product(1000).await);
    }
    let slots = concat!(
        "SELECT (",
        partition_of_slot!("slot", "4"),
        ")::bigint FROM products WHERE product_id = $1"
    );
    let first = sale.count(slots, products[0]).await;
    for other in &products[1..] {
        if sale.count(slots, *other).await == first {
            return (products[0], *other);
        }
    }
    panic!("no two of {products:?} share the first product's partition")
}

fn letters(answer: &Answer) -> Vec<Value> {
    answer.body["dead_letters"]
        .as_array()
        .unwrap_or_else(|| panic!("{answer:?}"))
        .clone()
}

#[tokio::test]
async fn poison_command_is_set_aside_and_the_others_apply() {
    let mut sale = SaleBuilder::default().worker_http().start().await;
    let (good, bad) = two_products_of_a_partition(&sale).await;
    // An inconsistent row, as a bug or a manual change would leave it.
    run(
        &sale,
        format!("UPDATE products SET currency = '???' WHERE product_id = {bad}"),
    )
    .await;
    // Without a worker the commands wait in the log, so that all are in one batch.
    sale.workers.remove(0).crash().await;
    let later = [("prefer", "respond-async")];
    let requests = (0..40).map(|n| {
        sale.client()
            .hold(if n % 20 == 7 { bad } else { good }, 1, &later)
    });
    let queued: Vec<Answer> = join_all(requests).await;
    sale.start_worker().await;
    let mut statuses = Vec::new();
    for answer in &queued {
        assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
        statuses.push(
            done(sale.client(), answer.header("location")).await["status"]
                .as_u64()
                .unwrap(),
        );
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 201).count(),
        38,
        "{statuses:?}"
    );
    assert_eq!((statuses[7], statuses[27]), (500, 500));
    assert_eq!(
        sale.client().hold(good, 1, &[]).await.status,
        StatusCode::CREATED,
        "the partition does not apply other commands"
    );
    let waits = sale.client().hold(bad, 1, &[]).await;
    assert_eq!(
        (waits.status.as_u16(), waits.problem()),
        (500, "command_failed"),
        "{waits:?}"
    );

    let listed = letters(&sale.admin_get("/api/admin/dead-letters").await);
    assert_eq!(listed.len(), 3);
    let worker = sale.worker_client().await;
    assert_eq!(
        metric_sum(&worker, "holdfast_dead_letters_total", &[]).await,
        3.0
    );
    until_metric(sale.client(), "holdfast_dead_letters", &[], |letters| {
        letters == 3.0
    })
    .await;
    assert!(
        listed
            .iter()
            .all(|letter| letter["action"] == "create_hold" && letter["tries"] == 5),
        "{listed:?}"
    );
    let (first, second) = (&listed[0], &listed[1]);
    let settle = async |letter: &Value, how: &str| {
        sale.admin_post(
            &format!("/api/admin/dead-letters/{}/{how}", letter["id"]),
            &json!({}),
        )
        .await
    };
    let again = settle(first, "retry").await;
    assert_eq!(
        (again.status.as_u16(), again.problem()),
        (500, "command_failed"),
        "the retry succeeded although the row is inconsistent"
    );
    run(
        &sale,
        format!("UPDATE products SET currency = 'USD' WHERE product_id = {bad}"),
    )
    .await;
    let again = settle(first, "retry").await;
    assert_eq!(
        (again.status, &again.body["status"]),
        (StatusCode::OK, &json!("retried")),
        "{again:?}"
    );
    let path = format!("/api/requests/{}", first["request_id"].as_str().unwrap());
    assert_eq!(
        sale.client().get(&path).await.body["response"]["status"],
        201,
        "the retry did not make a hold"
    );
    assert_eq!(
        settle(first, "retry").await.problem(),
        "dead_letter_not_found",
        "once"
    );
    assert_eq!(settle(second, "drop").await.body["status"], "dropped");
    assert_eq!(
        settle(second, "retry").await.problem(),
        "dead_letter_not_found"
    );
    assert_eq!(
        sale.count("SELECT held_stock FROM products WHERE product_id = $1", bad)
            .await,
        1
    );
    assert_invariants(&sale.pool).await;
}

#[tokio::test]
async fn panic_in_the_decision_fails_one_command_only() {
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let hold = sale.client().hold(product, 1, &[]).await;
    let path = hold.header("location").to_owned();
    // More units than the product has held. A release would break I1, so the decision panics.
    run(
        &sale,
        format!("UPDATE holds SET quantity = 7 WHERE product_id = {product}"),
    )
    .await;
    let failed = sale.client().delete(&path).await;
    assert_eq!(
        (failed.status.as_u16(), failed.problem()),
        (500, "command_failed"),
        "{failed:?}"
    );
    assert_eq!(
        sale.client().hold(product, 1, &[]).await.status,
        StatusCode::CREATED
    );

    let (ended_well, output) = sale.holdfast(&["dead-letters", "list", "--json"]).await;
    let letter: Value =
        serde_json::from_str(output.trim()).unwrap_or_else(|error| panic!("{error}: {output}"));
    assert!(
        ended_well && letter["error"].as_str().unwrap().contains("I1"),
        "{letter}"
    );
    let id = letter["id"].to_string();
    let (_, shown) = sale.holdfast(&["dead-letters", "show", &id]).await;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(
        shown["command"]["ReleaseHold"]["hold_id"],
        hold.body["hold_id"]
    );
    let (ended_well, output) = sale.holdfast(&["dead-letters", "retry", &id]).await;
    assert!(!ended_well && output.contains("failed again"), "{output}");
    run(
        &sale,
        format!("UPDATE holds SET quantity = 1 WHERE product_id = {product}"),
    )
    .await;
    let (ended_well, output) = sale.holdfast(&["dead-letters", "retry", &id]).await;
    assert!(ended_well && output.contains("was retried"), "{output}");
    assert_eq!(sale.client().get(&path).await.body["status"], "released");
    let (ended_well, output) = sale.holdfast(&["dead-letters", "drop", &id]).await;
    assert!(
        !ended_well && output.contains("was already retried"),
        "{output}"
    );
    run(
        &sale,
        "UPDATE dead_letters SET settled_at = settled_at - interval '31 days'".to_owned(),
    )
    .await;
    let (_, pruned) = sale.holdfast(&["prune", "--json"]).await;
    assert!(pruned.contains("\"dead_letters\":1"), "{pruned}");
    assert_invariants(&sale.pool).await;
}
