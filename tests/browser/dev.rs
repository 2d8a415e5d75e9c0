//! What README promises of `holdfast dev`: a sale to watch a minute later.

use std::os::unix::fs::PermissionsExt;

use holdfast_tests::{Process, program};
use serde_json::json;

use super::browser::in_browser;
use super::pictures::is_pictured;

#[tokio::test]
async fn dev_has_a_store_with_a_crowd_and_a_console_to_watch_it_from() {
    // Postgres's account must be able to get there.
    let directory = tempfile::Builder::new().permissions(PermissionsExt::from_mode(0o755)).tempdir().unwrap();
    let data = directory.path().join("data");
    let settings = [("PORT".to_owned(), "0".to_owned())];
    let arguments = ["dev", "--data-dir", data.to_str().unwrap()];
    let mut dev = Process::start(&program("holdfast"), &arguments, &settings, directory.path().join("log"));
    let ready = dev.line("ready: http://").await;
    in_browser(ready.trim_start_matches("ready: http://"), async |tab| {
        tab.go("/").await;
        tab.sees("article h2", "Flash Sale Product").await;
        tab.go("/console").await;
        tab.write("#token", "dev-admin-token").await;
        tab.choose("Sign in").await;
        tab.is_at("Overview").await;
        tab.sees(".charts", "Commands in a batch").await;
        let begin = "const done = arguments[arguments.length - 1];
            const headers = {'content-type': 'application/json'};
            fetch('/demo/crowd', {method: 'POST', headers, body: JSON.stringify({buyers: 1000, units: 100})})
                .then((answer) => done(answer.status));";
        assert_eq!(tab.client.execute_async(begin, Vec::new()).await.unwrap(), json!(201));
        tab.sees(".stock [data-stock=sold]", "100").await;
        is_pictured(&tab, "console-overview").await;
    })
    .await;
    dev.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(dev.ended().await, "{}", dev.output());
}
