//! Starts a browser for one test, and ends it even when the test fails.

use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};

use fantoccini::ClientBuilder;
use futures_util::FutureExt;
use holdfast_tests::{Process, SharedStack};
use serde_json::json;
use tokio::sync::Mutex;

use super::tab::Tab;

/// A browser needs more CPU than the rest of a test, so the tests run one browser at a time.
static ONE_BROWSER: Mutex<()> = Mutex::const_new(());

const ARGUMENTS: [&str; 10] = [
    "--headless=new",
    "--hide-scrollbars",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
];

fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file())
}

/// Runs a test in a new browser. Where no browser is installed, prints that the test is skipped.
pub(crate) async fn in_browser(base: &str, test: impl AsyncFnOnce(Tab)) {
    let programs = (
        find("chromium").or_else(|| find("google-chrome")),
        find("chromedriver"),
    );
    let (Some(chromium), Some(driver)) = programs else {
        let is_required = std::env::var("HOLDFAST_BROWSER").is_ok_and(|value| value == "required");
        assert!(
            !is_required,
            "chromium or chromedriver is not installed (Debian: chromium, chromium-driver)"
        );
        println!(
            "skipped: chromium or chromedriver is not installed (Debian: chromium, chromium-driver)"
        );
        return;
    };
    let _one = ONE_BROWSER.lock().await;
    let directory = tempfile::tempdir().unwrap();
    let log = SharedStack::get()
        .await
        .directory()
        .join(format!("chromedriver-{:x}.log", rand::random::<u64>()));
    let mut driver = Process::start(&driver, &["--port=0"], &[], log);
    let line = driver.line("started successfully on port").await;
    let port: u16 = line
        .rsplit(' ')
        .next()
        .unwrap()
        .trim_end_matches('.')
        .parse()
        .unwrap();
    let client = connect(port, &chromium, directory.path()).await;
    let tab = Tab {
        client: client.clone(),
        base: base.to_owned(),
    };
    let run = AssertUnwindSafe(async {
        tab.size(1280, 900, false).await;
        test(tab.clone()).await;
        tab.assert_quiet().await;
    });
    let ended = run.catch_unwind().await;
    if ended.is_err() {
        println!(
            "at {:?}: {:?}",
            client.current_url().await,
            tab.text("body").await
        );
        println!("console: {:?}", tab.console().await);
    }
    // Without this, the browser would go on running after its driver ends.
    client.close().await.unwrap();
    drop(driver);
    if let Err(panic) = ended {
        std::panic::resume_unwind(panic);
    }
}

async fn connect(port: u16, chromium: &Path, directory: &Path) -> fantoccini::Client {
    let mut arguments: Vec<String> = ARGUMENTS.map(str::to_owned).into();
    arguments.push(format!("--user-data-dir={}", directory.display()));
    let capabilities = json!({
        "goog:chromeOptions": {"binary": chromium, "args": arguments},
        "goog:loggingPrefs": {"browser": "ALL"},
    });
    let capabilities = capabilities.as_object().unwrap().clone();
    let mut builder = ClientBuilder::new(hyper_util::client::legacy::connect::HttpConnector::new());
    builder.capabilities(capabilities);
    builder
        .connect(&format!("http://127.0.0.1:{port}"))
        .await
        .unwrap()
}
