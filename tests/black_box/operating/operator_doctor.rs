//! Tests of `holdfast doctor`: it reports each problem with advice, and nothing in a healthy deployment.

use async_nats::jetstream::consumer::{FromConsumer, pull};
use async_nats::jetstream::{self, stream};
use futures_util::StreamExt;
use holdfast_tests::{Process, Sale, SaleBuilder, SharedStack, start_stack, until};
use nix::sys::signal::Signal;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use crate::security::certificates::nats_with;

/// Runs the doctor with additional settings; returns its exit code and findings.
async fn examine(sale: &Sale, more: &[(&str, &str)]) -> (i32, Vec<Value>) {
    let mut doctor = sale.holdfast_with(&["doctor", "--json"], more);
    let code = doctor.exit_status().await.code().unwrap();
    (
        code,
        doctor
            .output()
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect(),
    )
}

/// The checks with problems. Each problem must have advice.
fn problems(findings: &[Value]) -> Vec<&str> {
    let found = findings
        .iter()
        .filter(|finding| finding["level"] == "problem");
    found
        .map(|finding| {
            assert!(!finding["advice"].as_str().unwrap().is_empty(), "{finding}");
            finding["check"].as_str().unwrap()
        })
        .collect()
}

#[tokio::test]
async fn doctor_reports_problems_and_nothing_else() {
    let mut sale = Sale::start().await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!((code, problems(&findings)), (0, vec![]), "{findings:?}");
    for check in [
        "postgres",
        "fsync",
        "schema",
        "clock skew",
        "partitions",
        "sync_interval",
        "log",
        "expiry stream",
    ] {
        assert!(
            findings.iter().any(|finding| finding["check"] == check),
            "{check}: {findings:?}"
        );
    }
    let unlike: [(&str, &str, &[&str]); 8] = [
        ("ADMIN_TOKEN", "dev-admin-token", &["ADMIN_TOKEN"]),
        ("WEBHOOK_SECRETS", "short", &["WEBHOOK_SECRETS"]),
        ("WEBHOOK_SECRETS", "not-so-short", &["WEBHOOK_SECRETS"]),
        ("REFUND_URL", "http://203.0.113.5/refunds", &["REFUND_URL"]),
        (
            "ENCRYPTION_KEYS",
            "a:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
            &["encryption"],
        ),
        ("PARTITIONS", "8", &["partitions", "log"]),
        ("NATS_URL", "nats://127.0.0.1:1", &["nats"]),
        ("DATABASE_URL", "postgres://127.0.0.1:1/none", &["postgres"]),
    ];
    for (setting, value, expected) in unlike {
        let (code, findings) = examine(&sale, &[(setting, value)]).await;
        assert_eq!(
            (code, problems(&findings)),
            (1, expected.to_vec()),
            "{setting}={value}: {findings:?}"
        );
    }

    let statement = format!("ALTER DATABASE {} SET synchronous_commit = off", sale.name);
    sqlx::query(AssertSqlSafe(statement))
        .execute(&sale.pool)
        .await
        .unwrap();
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!(
        (code, problems(&findings)),
        (1, vec!["synchronous_commit"]),
        "{findings:?}"
    );
    let statement = format!("ALTER DATABASE {} RESET synchronous_commit", sale.name);
    sqlx::query(AssertSqlSafe(statement))
        .execute(&sale.pool)
        .await
        .unwrap();

    sale.workers.remove(0).crash().await;
    until("the doctor to miss the worker", async || {
        let (code, findings) = examine(&sale, &[]).await;
        assert!(code == 1 || problems(&findings).is_empty(), "{findings:?}");
        (problems(&findings) == ["partitions", "workers' news"]).then_some(())
    })
    .await;
    sqlx::query(
        "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)",
    )
    .execute(&sale.pool)
    .await
    .unwrap();
    let (code, findings) = examine(&sale, &[]).await;
    let schema = findings
        .iter()
        .find(|finding| finding["check"] == "schema")
        .unwrap();
    assert!(
        code == 1
            && schema["advice"]
                .as_str()
                .unwrap()
                .contains("holdfast migrate"),
        "{schema}"
    );
}

/// A URL on which no program listens.
const RECEIVER: &str = "http://127.0.0.1:1/events?s3cret";

/// The streams of a sale, which a test can change.
struct Streams {
    jetstream: jetstream::Context,
    name: String,
}

impl Streams {
    async fn of(sale: &Sale) -> Self {
        let nats = async_nats::connect(SharedStack::get().await.nats_url())
            .await
            .unwrap();
        Self {
            jetstream: jetstream::new(nats),
            name: sale.name.clone(),
        }
    }

    async fn alter(&self, stream: &str, change: impl FnOnce(&mut stream::Config)) {
        let stream = self
            .jetstream
            .get_stream(format!("{}-{stream}", self.name))
            .await
            .unwrap();
        let mut config = stream.cached_info().config.clone();
        change(&mut config);
        self.jetstream.update_stream(config).await.unwrap();
    }

    /// Changes the only consumer of the stream.
    async fn alter_consumer(&self, stream: &str, change: impl FnOnce(&mut pull::Config)) {
        let stream = self
            .jetstream
            .get_stream(format!("{}-{stream}", self.name))
            .await
            .unwrap();
        let mut consumers = stream.consumers();
        let consumer = consumers.next().await.unwrap().unwrap();
        let mut config = pull::Config::try_from_consumer_config(consumer.config).unwrap();
        change(&mut config);
        stream.update_consumer(config).await.unwrap();
    }
}

#[tokio::test]
async fn doctor_finds_altered_streams_and_consumers() {
    let mut sale = SaleBuilder::default()
        .setting("EVENT_URLS", RECEIVER)
        .start()
        .await;
    let streams = Streams::of(&sale).await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!((code, problems(&findings)), (0, vec![]), "{findings:?}");
    let events = findings
        .iter()
        .find(|finding| finding["check"] == "event stream")
        .unwrap();
    assert_eq!(
        events["found"],
        "matches the settings; 0 unacknowledged events, 1 receivers"
    );
    let (code, findings) = examine(&sale, &[("EVENT_URLS", "http://127.0.0.1:1/another")]).await;
    assert_eq!(
        (code, problems(&findings)),
        (1, vec!["event stream"]),
        "the missing consumer was not found: {findings:?}"
    );

    streams
        .alter("events", |config| config.max_bytes /= 2)
        .await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!(
        (code, problems(&findings)),
        (1, vec!["event stream"]),
        "{findings:?}"
    );
    // The advice of the doctor.
    let mut worker = sale.workers.remove(0);
    worker.signal(Signal::SIGTERM);
    worker.ended().await;
    sale.start_worker().await;
    until("the worker to repair it", async || {
        (examine(&sale, &[]).await.0 == 0).then_some(())
    })
    .await;

    // With these consumers, an event would be posted only once, and a ticket delivered only once.
    streams
        .alter_consumer("events", |config| config.max_deliver = 1)
        .await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!(
        (code, problems(&findings)),
        (1, vec!["event stream"]),
        "{findings:?}"
    );
    assert!(
        !findings
            .iter()
            .any(|finding| finding.to_string().contains("s3cret")),
        "{findings:?}"
    );
    streams
        .alter_consumer("expiry", |config| config.max_deliver = 1)
        .await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!(
        (code, problems(&findings)),
        (1, vec!["expiry stream", "event stream"]),
        "{findings:?}"
    );
    streams
        .alter("expiry", |config| config.max_messages = 10)
        .await;
    streams
        .alter("commands", |config| {
            config.max_age = std::time::Duration::from_secs(3600)
        })
        .await;
    let (code, findings) = examine(&sale, &[]).await;
    assert_eq!(
        (code, problems(&findings)),
        (1, vec!["log", "expiry stream", "event stream"]),
        "{findings:?}"
    );
}

#[tokio::test]
async fn nats_without_sync_is_found_and_blocks_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("stack");
    let mut stack = start_stack(&data).await;
    let mut sale = SaleBuilder::default()
        .on(&stack, directory.path())
        .start_without_workers()
        .await;
    sale.stop().await;
    let level = async |sale: &Sale| {
        let (_, findings) = examine(sale, &[]).await;
        let found = findings
            .iter()
            .find(|finding| finding["check"] == "sync_interval");
        found.unwrap_or_else(|| panic!("{findings:?}"))["level"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(level(&sale).await, "ok");
    nats_with(&mut stack, &data, |text| {
        text.replace("sync_interval: always", "sync_interval: \"2m\"")
    })
    .await;
    assert_eq!(level(&sale).await, "problem");
    let refused = async |mut process: Process| {
        assert!(!process.ended().await, "the program started");
        let advice = "set `jetstream { sync_interval: always }`";
        assert!(process.output().contains(advice), "{}", process.output());
    };
    refused(sale.ingress_with(&[])).await;
    refused(sale.worker_with(&[])).await;
    // When the account may not read the setting, the doctor can't judge it, and programs start.
    nats_with(&mut stack, &data, |text| {
        text.replace("to: \"holdfast.server.jetstream\"", "to: \"elsewhere\"")
    })
    .await;
    assert_eq!(level(&sale).await, "warning");
    sale.start_ingress().await;
    drop(sale);
    stack.stop().await.unwrap();
}
