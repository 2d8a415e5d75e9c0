//! What programs check before they begin, and how they say what is wrong.

use holdfast_tests::{Process, SharedStack, program};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpListener;

fn settings(database_url: &str, nats_url: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let common = [("DATABASE_URL", database_url), ("NATS_URL", nats_url), ("NATS_PREFIX", "start"), ("PORT", "0")];
    common.iter().chain(more).map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn start_and_fail(name: &str, database_url: &str, nats_url: &str, more: &[(&str, &str)], words: &str) {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut process = Process::start(&program(name), &[], &settings(database_url, nats_url, more), log);
    assert!(!process.ended().await, "{name} should not start");
    assert!(process.output().contains(words), "{name} should say {words:?}:\n{}", process.output());
}

/// A server that greets as nats-server of a version does.
async fn greet_as(version: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    let greeting = format!(
        "INFO {{\"server_id\":\"X\",\"server_name\":\"X\",\"version\":\"{version}\",\"go\":\"go1.19\",\"host\":\"0.0.0.0\",\
         \"port\":4222,\"headers\":true,\"max_payload\":1048576,\"proto\":1,\"client_id\":1,\"jetstream\":true}}\r\n"
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (reading, mut writing) = stream.into_split();
            writing.write_all(greeting.as_bytes()).await.unwrap();
            let mut lines = BufReader::new(reading).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") && writing.write_all(b"PONG\r\n").await.is_err() {
                    break;
                }
            }
        }
    });
    url
}

async fn migrated_database() -> String {
    let stack = SharedStack::get().await;
    let pool = sqlx::PgPool::connect(stack.database_url()).await.unwrap();
    holdfast_common::schema::migrate(&pool).await.unwrap();
    stack.database_url().to_owned()
}

#[tokio::test]
async fn an_older_nats_server_is_refused_with_the_version_that_is_needed() {
    let database_url = migrated_database().await;
    let nats_url = greet_as("2.9.10").await;
    for name in ["holdfast-ingress", "holdfast-workers"] {
        start_and_fail(name, &database_url, &nats_url, &[], "nats-server 2.9.10 is too old").await;
        start_and_fail(name, &database_url, &nats_url, &[], "needs 2.15.1 or newer").await;
    }
}

#[tokio::test]
async fn a_database_without_the_schema_is_refused_with_what_to_do() {
    let stack = SharedStack::get().await;
    let base = stack.database_url().rsplit_once('/').unwrap().0;
    for name in ["holdfast-ingress", "holdfast-workers"] {
        let empty = format!("{base}/template1");
        start_and_fail(name, &empty, stack.nats_url(), &[], "run `holdfast migrate` first").await;
    }
}

#[tokio::test]
async fn another_number_of_partitions_is_refused() {
    let database_url = migrated_database().await;
    let nats_url = SharedStack::get().await.nats_url();
    let directory = tempfile::tempdir().unwrap();
    let eight = settings(&database_url, nats_url, &[("PARTITIONS", "8")]);
    let mut first = Process::start(&program("holdfast-ingress"), &[], &eight, directory.path().join("log"));
    first.line("\"listening\"").await;
    for name in ["holdfast-ingress", "holdfast-workers"] {
        start_and_fail(name, &database_url, nats_url, &[("PARTITIONS", "4")], "set PARTITIONS=8").await;
    }
}

#[tokio::test]
async fn the_secrets_of_dev_are_refused() {
    for (setting, value) in [("ADMIN_TOKEN", "dev-admin-token"), ("WEBHOOK_SECRETS", "mine,dev-webhook-secret")] {
        let nowhere = ("postgres://127.0.0.1:1/x", "nats://127.0.0.1:1");
        start_and_fail("holdfast-ingress", nowhere.0, nowhere.1, &[(setting, value)], setting).await;
    }
}
