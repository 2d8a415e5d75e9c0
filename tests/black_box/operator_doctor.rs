//! `holdfast doctor`: it finds nothing where all is well, and each thing that is not, with what to do about it.

use holdfast_tests::{Sale, until};
use serde_json::Value;
use sqlx::AssertSqlSafe;

/// The doctor's exit code and findings, with some settings of its own.
async fn examine(sale: &Sale, more: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let mut doctor = sale.holdfast_with(&["doctor", "--json"], more);
    let code = doctor.exit_status().await.code().unwrap();
    (code, doctor.output().lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

/// The checks that are problems; each says what to do.
fn problems(findings: &[Value]) -> Vec<&str> {
    let found = findings.iter().filter(|finding| finding["level"] == "problem");
    found
        .map(|finding| {
            assert!(!finding["advice"].as_str().unwrap().is_empty(), "{finding}");
            finding["check"].as_str().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn the_doctor_finds_nothing_where_all_is_well_and_says_what_is_not() {
    let mut sale = Sale::start().await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!((code, problems(&findings)), (0, vec![]), "{findings:?}");
    for check in ["postgres", "fsync", "schema", "clock skew", "partitions", "sync_interval", "log", "expiry stream"] {
        assert!(findings.iter().any(|finding| finding["check"] == check), "{check}: {findings:?}");
    }
    let unlike: [(&str, &str, &[&str]); 8] = [
        ("ADMIN_TOKEN", "dev-admin-token", &["ADMIN_TOKEN"]),
        ("WEBHOOK_SECRETS", "short", &["WEBHOOK_SECRETS"]),
        ("WEBHOOK_SECRETS", "not-so-short", &["WEBHOOK_SECRETS"]),
        ("REFUND_URL", "http://203.0.113.5/refunds", &["REFUND_URL"]),
        ("ENCRYPTION_KEYS", "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", &["encryption"]),
        ("PARTITIONS", "8", &["partitions", "log"]),
        ("NATS_URL", "nats://127.0.0.1:1", &["nats"]),
        ("DATABASE_URL", "postgres://127.0.0.1:1/none", &["postgres"]),
    ];
    for (setting, value, expected) in unlike {
        let (code, findings) = examine(&sale, &[(setting, value)]).await;
        assert_eq!((code, problems(&findings)), (1, expected.to_vec()), "{setting}={value}: {findings:?}");
    }

    let statement = format!("ALTER DATABASE {} SET synchronous_commit = off", sale.name);
    sqlx::query(AssertSqlSafe(statement)).execute(&sale.pool).await.unwrap();
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!((code, problems(&findings)), (1, vec!["synchronous_commit"]), "{findings:?}");
    let statement = format!("ALTER DATABASE {} RESET synchronous_commit", sale.name);
    sqlx::query(AssertSqlSafe(statement)).execute(&sale.pool).await.unwrap();

    sale.workers.remove(0).crash().await;
    until("the doctor to miss the worker", async || {
        let (code, findings) = examine(&sale, &[]).await;
        assert!(code == 1 || problems(&findings).is_empty(), "{findings:?}");
        (problems(&findings) == ["partitions", "workers' news"]).then_some(())
    })
    .await;
    sqlx::query("DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .execute(&sale.pool)
        .await
        .unwrap();
    let (code, findings) = examine(&sale, &[]).await;
    let schema = findings.iter().find(|finding| finding["check"] == "schema").unwrap();
    assert!(code == 1 && schema["advice"].as_str().unwrap().contains("holdfast migrate"), "{schema}");
}
