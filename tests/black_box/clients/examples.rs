//! The programs of `docs/examples` work, in every language that is installed.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use holdfast_tests::{DEADLINE, Sale, WEBHOOK_SECRET};
use tokio::process::Command;

/// Exits with 0 if this version of Node runs TypeScript.
const STRIPS_TYPES: &str = "process.exit(process.features.typescript ? 0 : 1)";

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs")
}

/// Runs a program to its end; returns its output when it succeeded.
async fn output(command: &mut Command) -> Result<String, String> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(DEADLINE, output)
        .await
        .map_err(|_| "it did not end".to_owned())?;
    let output = output.map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whether a program is installed and runs.
async fn is_installed(program: &str, arguments: &[&str]) -> bool {
    output(Command::new(program).args(arguments)).await.is_ok()
}

/// The command that runs the examples with this file extension, or the reason why this machine can't run them.
async fn runner(ending: &str, scratch: &Path) -> Result<Box<dyn Fn(&str) -> Command>, String> {
    let file = move |stem: &str, ending: &str| docs().join(format!("examples/{stem}.{ending}"));
    let interpreted =
        move |program: &'static str, ending: &'static str| -> Box<dyn Fn(&str) -> Command> {
            Box::new(move |stem| {
                let mut command = Command::new(program);
                command.arg(file(stem, ending));
                command
            })
        };
    match ending {
        "sh" if is_installed("bash", &["-c", "command -v curl && command -v openssl"]).await => {
            Ok(interpreted("bash", "sh"))
        }
        "sh" => Err("bash, curl or openssl is not installed".to_owned()),
        "py" if is_installed("python3", &["--version"]).await => Ok(interpreted("python3", "py")),
        "py" => Err("python3 is not installed".to_owned()),
        "php"
            if is_installed("php", &["-r", "hash_hmac('sha256', json_encode([]), '');"]).await =>
        {
            Ok(interpreted("php", "php"))
        }
        "php" => Err("php with json and hash is not installed".to_owned()),
        "ts" if is_installed("node", &["-e", STRIPS_TYPES]).await => Ok(interpreted("node", "ts")),
        "ts" => compiled(scratch).await,
        _ => Err(format!("this test can't run .{ending} files")),
    }
}

/// Node before 22.18 does not run TypeScript, so `tsc` compiles it to JavaScript first.
async fn compiled(scratch: &Path) -> Result<Box<dyn Fn(&str) -> Command>, String> {
    if !is_installed("node", &["-e", "fetch"]).await {
        return Err("node 18 or newer is not installed".to_owned());
    }
    if !is_installed("tsc", &["--version"]).await {
        return Err("node is older than 22.18, and tsc is not installed".to_owned());
    }
    for stem in ["buy", "webhook"] {
        let mut tsc = Command::new("tsc");
        tsc.args([
            "--target",
            "es2022",
            "--module",
            "nodenext",
            "--noCheck",
            "--outDir",
        ])
        .arg(scratch);
        output(tsc.arg(docs().join(format!("examples/{stem}.ts")))).await?;
    }
    let scratch = scratch.to_owned();
    Ok(Box::new(move |stem| {
        let mut command = Command::new("node");
        command.arg(scratch.join(format!("{stem}.js")));
        command
    }))
}

async fn the_examples_work(ending: &str) {
    let scratch = tempfile::tempdir().unwrap();
    let example = match runner(ending, scratch.path()).await {
        Ok(example) => example,
        Err(reason) => {
            println!("skipped the .{ending} examples: {reason}");
            return;
        }
    };
    let sale = Sale::start().await;
    let product = sale.product(10).await;
    let run = async |mut command: Command| {
        command.env(
            "HOLDFAST_URL",
            format!("http://{}", sale.client().address()),
        );
        command
            .env("PRODUCT_ID", product.to_string())
            .env("WEBHOOK_SECRET", WEBHOOK_SECRET);
        output(&mut command)
            .await
            .unwrap_or_else(|error| panic!("{ending}: {error}"))
    };
    let bought = run(example("buy")).await;
    let (status, order) = bought
        .trim()
        .split_once(' ')
        .unwrap_or_else(|| panic!("{bought}"));
    assert_eq!(status, "pending_payment");
    let held = "SELECT held_stock FROM products WHERE product_id = $1";
    assert_eq!(
        sale.count(held, product).await,
        2,
        "the repeat with the same key made another hold"
    );

    let mut webhook = example("webhook");
    webhook.arg(order);
    let paid = run(webhook).await;
    let results: Vec<serde_json::Value> = paid
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let results: Vec<_> = results
        .iter()
        .map(|answer| (&answer["result"], &answer["order_status"]))
        .collect();
    let (processed, duplicate, status) = ("processed".into(), "duplicate".into(), "paid".into());
    assert_eq!(
        results,
        [(&processed, &status), (&duplicate, &status)],
        "{paid}"
    );
    assert_eq!(
        sale.client()
            .get(&format!("/api/orders/{order}"))
            .await
            .body["status"],
        "paid"
    );
}

#[tokio::test]
async fn curl_examples_work() {
    the_examples_work("sh").await;
}

#[tokio::test]
async fn python_examples_work() {
    the_examples_work("py").await;
}

#[tokio::test]
async fn typescript_examples_work() {
    the_examples_work("ts").await;
}

#[tokio::test]
async fn php_examples_work() {
    the_examples_work("php").await;
}

#[test]
fn integrate_page_links_every_example() {
    let page = std::fs::read_to_string(docs().join("integrate.md")).unwrap();
    for entry in std::fs::read_dir(docs().join("examples")).unwrap() {
        let name = entry.unwrap().file_name();
        let link = format!("(examples/{})", name.display());
        assert!(page.contains(&link), "no link to {}", name.display());
    }
}
