//! The console's alerts are those of Prometheus, and its charts have the counts of separate workers.

use holdfast_tests::{Sale, SaleBuilder, until};
use serde_json::{Value, json};

use super::browser::in_browser;
use super::console::sign_in;
use super::pictures::take_picture;

const RULES: &str = include_str!("../../deploy/prometheus/rules.yml");
/// Prometheus's tests of the rules, which `promtool` runs.
const RULES_TEST: &str = include_str!("../../deploy/prometheus/rules_test.yml");

#[tokio::test]
async fn console_alerts_match_prometheus_for_every_rule() {
    let sale = Sale::start().await;
    in_browser(sale.client().address(), async |tab| {
        sign_in(&tab).await;
        let main = "return document.querySelector('script[type=module]').src";
        let main = tab.script(main, Vec::new()).await;
        let module = main.as_str().unwrap().replace("main.js", "alerts.js");
        let arguments = vec![json!(module), json!(RULES), json!(RULES_TEST)];
        let found = tab
            .client
            .execute_async(include_str!("alerts.js"), arguments)
            .await
            .unwrap();
        let results = found["results"]
            .as_array()
            .unwrap_or_else(|| panic!("{found}"));
        for result in results {
            assert_eq!(result["shown"], result["expected"]);
        }
        let expected: Vec<_> = results
            .iter()
            .flat_map(|result| result["expected"].as_array().unwrap())
            .collect();
        let rules = found["rules"].as_array().unwrap();
        let written: Vec<_> = RULES
            .lines()
            .filter_map(|line| line.trim().strip_prefix("- alert: "))
            .collect();
        assert_eq!(
            rules.iter().map(|rule| &rule["name"]).collect::<Vec<_>>(),
            written
        );
        for rule in rules {
            assert!(
                expected.contains(&&rule["name"]),
                "no test expects this alert: {rule}"
            );
            assert!(has_texts_of_file(rule), "{rule}");
        }
    })
    .await;
}

/// Whether a rule's texts are those of the file, apart from line breaks.
fn has_texts_of_file(rule: &Value) -> bool {
    let rules = RULES.split_whitespace().collect::<Vec<_>>().join(" ");
    let has = |name: &str| {
        rule[name]
            .as_str()
            .is_some_and(|words| !words.is_empty() && rules.contains(words))
    };
    has("summary")
        && has("description")
        && (rule["severity"] == "page" || rule["severity"] == "ticket")
}

#[tokio::test]
async fn the_console_shows_a_missing_worker_and_its_return() {
    let builder = SaleBuilder::default()
        .setting("DEMO_STORE", "true")
        .setting("REQUEST_WAIT_MS", "2000");
    let mut sale = builder.start().await;
    let product = sale.product(10).await;
    let address = sale.client().address().to_owned();
    in_browser(&address, async |tab| {
        tab.go(&format!("/?product={product}")).await;
        tab.sees("[role=status]", "Live stock").await;
        let store = tab.another().await;
        sign_in(&tab).await;
        let console = tab.client.window().await.unwrap();
        tab.sees("[data-well=true]", "All is well").await;
        sale.workers.remove(0).crash().await;
        tab.sees(
            "[data-alert=HoldfastPartitionWithoutWorker]",
            "4 partitions have no worker",
        )
        .await;
        tab.sees("[data-well=false]", "Start a worker").await;
        assert!(
            tab.client.title().await.unwrap().starts_with('('),
            "the title has the number of alerts"
        );
        take_picture(&tab, "console-worker-gone").await;

        tab.client.switch_to_window(store.clone()).await.unwrap();
        tab.press("form button").await;
        tab.is_at("Your request is waiting").await;
        tab.client.switch_to_window(console).await.unwrap();
        sale.start_worker().await;
        tab.sees("[data-well=true]", "All is well").await;
        until("no partition without a worker", async || {
            let text = tab.text("main").await?;
            (!text.contains("no worker")).then_some(())
        })
        .await;
        tab.client.switch_to_window(store).await.unwrap();
        tab.is_at("Held for you").await;
    })
    .await;
}

#[tokio::test]
async fn charts_show_the_counts_of_separate_workers() {
    let mut sale = SaleBuilder::default()
        .setting("HOLD_EXPIRY_SECONDS", "1")
        .start()
        .await;
    sale.start_worker().await;
    let product = sale.product(100_000).await;
    in_browser(sale.client().address(), async |tab| {
        sign_in(&tab).await;
        for chart in ["Commands per batch", "Expiry delay, s"] {
            let selector = format!("[aria-label='{chart}'] dd");
            until(chart, async || {
                sale.client().hold(product, 1, &[]).await;
                tab.text(&selector).await?.parse::<f64>().ok()
            })
            .await;
        }
        until(
            "the worker and the backlog of every partition",
            async || {
                let rows =
                    "return [...document.querySelectorAll('[aria-label=Partitions] tbody tr')]
                .map((row) => [row.children[1].textContent, row.children[4].textContent])";
                let rows = tab.script(rows, Vec::new()).await;
                let rows = rows.as_array()?;
                let is_complete = |row: &Value| {
                    row[0] != "no worker"
                        && row[1]
                            .as_str()
                            .is_some_and(|text| text.parse::<u64>().is_ok())
                };
                (rows.len() == 4 && rows.iter().all(is_complete)).then_some(())
            },
        )
        .await;
    })
    .await;
}
