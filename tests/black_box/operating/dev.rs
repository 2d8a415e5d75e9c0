//! Tests of `holdfast dev`: it starts a sale with one command, and leaves no process behind.

use std::path::Path;

use holdfast_tests::{Client, Process, program, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::StatusCode;
use serde_json::Value;

const DEV_ADMIN: (&str, &str) = ("authorization", "Bearer dev-admin-token");

struct Dev {
    process: Process,
    client: Client,
    stack: Value,
}

impl Dev {
    async fn start(directory: &Path, arguments: &[&str]) -> Self {
        let settings = [("PORT".to_owned(), "0".to_owned())];
        let data = directory.join("data");
        let mut all = vec!["dev", "--data-dir", data.to_str().unwrap()];
        all.extend_from_slice(arguments);
        let log = directory.join(format!(
            "log-{}",
            std::fs::read_dir(directory).unwrap().count()
        ));
        let mut process = Process::start(&program("holdfast"), &all, &settings, log);
        let ready = process.line("ready: http://").await;
        let stack = std::fs::read_to_string(data.join("stack.json")).unwrap();
        let stack: Value = serde_json::from_str(&stack).unwrap();
        assert_eq!(
            ready,
            format!("ready: {}", stack["http_url"].as_str().unwrap())
        );
        Self {
            process,
            client: Client::new(stack["http_url"].as_str().unwrap()),
            stack,
        }
    }

    fn pids(&self) -> Vec<Pid> {
        let pids = self.stack["pids"].as_object().unwrap();
        assert_eq!(
            pids.keys().collect::<Vec<_>>(),
            ["holdfast", "nats", "postgres"]
        );
        pids.values()
            .map(|pid| Pid::from_raw(pid.as_i64().unwrap() as i32))
            .collect()
    }

    /// Stops `dev`, and waits until none of its processes runs.
    async fn end(mut self, signal: Signal) {
        let pids = self.pids();
        assert!(
            pids.iter().all(|pid| kill(*pid, None).is_ok()),
            "a process does not run"
        );
        self.process.signal(signal);
        let ended_well = self.process.ended().await;
        assert_eq!(
            ended_well,
            signal != Signal::SIGKILL,
            "{}",
            self.process.output()
        );
        until("all processes to end", async || {
            pids.iter()
                .all(|pid| kill(*pid, None).is_err())
                .then_some(())
        })
        .await;
    }
}

fn scratch() -> tempfile::TempDir {
    // The account of Postgres must be able to enter the directory.
    tempfile::Builder::new()
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .tempdir()
        .unwrap()
}

#[tokio::test]
async fn restart_keeps_the_data_and_fresh_removes_it() {
    let directory = scratch();
    let dev = Dev::start(directory.path(), &[]).await;
    let product = dev.client.get("/api/products/1").await.body;
    assert_eq!(
        (&product["name"], &product["price"]),
        (&"Flash Sale Product".into(), &99.99.into())
    );
    assert_eq!(
        (&product["currency"], &product["total_stock"]),
        (&"USD".into(), &100.into())
    );
    let hold = dev.client.hold(1, 2, &[]).await;
    assert_eq!(hold.status, StatusCode::CREATED);
    let five = serde_json::json!({"quantity": 5});
    let restocked = dev
        .client
        .post("/api/admin/products/1/restock", &[DEV_ADMIN], &five)
        .await;
    assert_eq!(restocked.status, StatusCode::OK);
    let metrics = dev.client.get("/metrics").await.text;
    for of_both in ["holdfast_http_connections", "holdfast_batch_commands_count"] {
        assert!(
            metrics.contains(of_both),
            "{of_both} is missing: both programs run in one process"
        );
    }
    dev.end(Signal::SIGTERM).await;

    let dev = Dev::start(directory.path(), &[]).await;
    assert_eq!(
        dev.client.get(hold.header("location")).await.body,
        hold.body
    );
    assert_eq!(
        dev.client.get("/api/products/1").await.body["available_stock"],
        103
    );
    let next = dev.client.hold(1, 1, &[]).await;
    assert_eq!(next.body["sequence"], 2);
    dev.end(Signal::SIGINT).await;

    let dev = Dev::start(directory.path(), &["--fresh"]).await;
    assert_eq!(
        dev.client.get(hold.header("location")).await.status,
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        dev.client.get("/api/products/1").await.body["available_stock"],
        100
    );
    dev.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn killed_dev_leaves_no_process_and_loses_no_data() {
    let directory = scratch();
    let dev = Dev::start(directory.path(), &[]).await;
    let hold = dev.client.hold(1, 2, &[]).await;
    assert_eq!(hold.status, StatusCode::CREATED);
    dev.end(Signal::SIGKILL).await;
    let dev = Dev::start(directory.path(), &[]).await;
    assert_eq!(
        dev.client.get(hold.header("location")).await.status,
        StatusCode::OK
    );
    dev.end(Signal::SIGTERM).await;
}

#[tokio::test]
async fn two_devs_run_in_different_directories() {
    let (one, other) = (scratch(), scratch());
    let (one, other) = tokio::join!(Dev::start(one.path(), &[]), Dev::start(other.path(), &[]));
    one.client.hold(1, 2, &[]).await;
    assert_eq!(
        other.client.get("/api/products/1").await.body["available_stock"],
        100
    );
    tokio::join!(one.end(Signal::SIGTERM), other.end(Signal::SIGTERM));
}

#[tokio::test]
async fn crowd_buys_from_dev_over_http() {
    let directory = scratch();
    let dev = Dev::start(directory.path(), &[]).await;
    let start = serde_json::json!({"buyers": 30, "units": 10});
    let started = dev.client.post("/demo/crowd", &[], &start).await;
    assert_eq!(started.status, StatusCode::CREATED, "{}", started.text);
    let second = dev.client.post("/demo/crowd", &[], &start).await;
    assert_eq!(
        (second.status, &second.body["code"]),
        (StatusCode::CONFLICT, &"crowd_is_here".into())
    );
    let crowd = until("the crowd's end", async || {
        let crowd = dev.client.get("/demo/crowd").await.body["crowd"].take();
        (crowd["is_done"] == true).then_some(crowd)
    })
    .await;
    let count = |name: &str| crowd[name].as_i64().unwrap();
    let refused = &crowd["refused"]["insufficient_stock"];
    assert_eq!(count("failed"), 0, "{crowd}");
    assert_eq!(count("holds") + refused.as_i64().unwrap(), 30, "{crowd}");
    assert_eq!(count("paid") + count("released"), count("holds"), "{crowd}");
    let product = format!("/api/products/{}", started.body["product_id"]);
    let product = dev.client.get(&product).await.body;
    assert_eq!(product["sold_stock"], count("paid"));
    let too_many = serde_json::json!({"buyers": 2001, "units": 10});
    let rejected = dev.client.post("/demo/crowd", &[], &too_many).await;
    assert_eq!(rejected.status, StatusCode::UNPROCESSABLE_ENTITY);
    dev.end(Signal::SIGTERM).await;
}
