//! `holdfast dev` serves the store and the console.

use std::os::unix::fs::PermissionsExt;

use holdfast_tests::{Process, program};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::browser::in_browser;
use super::pictures::take_picture;

/// `holdfast dev` with its own servers and directory.
pub(crate) struct Dev {
    pub(crate) address: String,
    /// The content of its `stack.json`.
    pub(crate) stack: Value,
    process: Process,
    _directory: TempDir,
}

impl Dev {
    pub(crate) async fn start() -> Self {
        // Postgres's account must be able to enter this directory.
        let directory = tempfile::Builder::new()
            .permissions(PermissionsExt::from_mode(0o755))
            .tempdir()
            .unwrap();
        let data = directory.path().join("data");
        let settings = [("PORT".to_owned(), "0".to_owned())];
        let arguments = ["dev", "--data-dir", data.to_str().unwrap()];
        let mut process = Process::start(
            &program("holdfast"),
            &arguments,
            &settings,
            directory.path().join("log"),
        );
        let ready = process.line("ready: http://").await;
        let address = ready.trim_start_matches("ready: http://").to_owned();
        let stack = std::fs::read_to_string(data.join("stack.json")).unwrap();
        Self {
            address,
            stack: serde_json::from_str(&stack).unwrap(),
            process,
            _directory: directory,
        }
    }

    pub(crate) async fn end(mut self) {
        self.process.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(self.process.ended().await, "{}", self.process.output());
    }
}

#[tokio::test]
async fn dev_serves_a_store_with_a_crowd_and_a_console() {
    let dev = Dev::start().await;
    in_browser(&dev.address, async |tab| {
        tab.go("/").await;
        tab.sees("article h2", "Flash Sale Product").await;
        tab.go("/console").await;
        tab.write("#token", "dev-admin-token").await;
        tab.choose("Sign in").await;
        tab.is_at("Overview").await;
        tab.sees(".charts", "Commands per batch").await;
        let begin = "const done = arguments[arguments.length - 1];
            const headers = {'content-type': 'application/json'};
            fetch('/demo/crowd', {method: 'POST', headers, body: JSON.stringify({buyers: 1000, units: 100})})
                .then((answer) => done(answer.status));";
        assert_eq!(tab.client.execute_async(begin, Vec::new()).await.unwrap(), json!(201));
        tab.sees(".stock [data-stock=sold]", "100").await;
        take_picture(&tab, "console-overview").await;
    })
    .await;
    dev.end().await;
}
