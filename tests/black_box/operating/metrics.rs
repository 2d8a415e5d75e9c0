//! `/metrics`: what is counted, and that alerts and the dashboard name only what there is.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use holdfast_tests::{Client, Sale, SaleBuilder, Webhook, until};
use reqwest::StatusCode;
use serde_json::{Value, json};

const RULES: &str = include_str!("../../../deploy/prometheus/rules.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/holdfast.json");
const UNKNOWN_ORDER: &str = "01a20634-0c9b-8cc1-96dc-8d450eaf51d9";

/// The sum of a metric's series that have these labels.
pub(crate) fn sum(text: &str, metric: &str, labels: &[(&str, &str)]) -> f64 {
    let is_of_metric = |line: &&str| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
    };
    let has_labels = |line: &&str| {
        labels
            .iter()
            .all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    };
    let values = text.lines().filter(is_of_metric).filter(has_labels);
    values
        .map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// What a program counts now.
pub(crate) async fn counted(client: &Client, metric: &str, labels: &[(&str, &str)]) -> f64 {
    sum(&metrics(client).await, metric, labels)
}

/// Waits until a metric that is looked at every few seconds has a value.
pub(crate) async fn until_is(
    client: &Client,
    metric: &str,
    labels: &[(&str, &str)],
    is: impl Fn(f64) -> bool,
) {
    until(metric, async || {
        is(counted(client, metric, labels).await).then_some(())
    })
    .await;
}

pub(crate) async fn metrics(client: &Client) -> String {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    answer.text
}

/// A client of the sale's worker, whose port the operating system chose.
pub(crate) async fn worker(sale: &mut Sale) -> Client {
    let line = sale.workers[0].line("\"serving metrics\"").await;
    let line: Value = serde_json::from_str(&line).unwrap();
    Client::new(&format!("http://{}", line["address"].as_str().unwrap()))
}

pub(crate) fn builder() -> SaleBuilder {
    SaleBuilder::default()
        .setting("METRICS_PORT", "0")
        .setting("METRICS_ADDRESS", "127.0.0.1")
}

#[tokio::test]
async fn metrics_count_the_events_of_a_sale() {
    let mut sale = builder().start().await;
    let worker = worker(&mut sale).await;
    assert_eq!(worker.get("/healthz").await.status, StatusCode::OK);
    let product = sale.product(3).await;
    let order = sale.order(product, 2).await;
    // With a key it is not answered from memory.
    let refused = sale
        .client()
        .hold(product, 2, &[("idempotency-key", "k")])
        .await;
    assert_eq!(refused.problem(), "insufficient_stock");
    let paid = Webhook::new("k-1", &order, "pay_1", "succeeded");
    let (first, again) = (
        paid.send(sale.client()).await,
        paid.send(sale.client()).await,
    );
    assert_eq!(
        (&first.body["result"], again.header("idempotent-replayed")),
        (&json!("processed"), "true")
    );
    Webhook::new("k-2", UNKNOWN_ORDER, "pay_2", "succeeded")
        .send(sale.client())
        .await;
    for _ in 0..3 {
        sale.client().get(&format!("/api/products/{product}")).await;
    }
    sale.client()
        .post("/api/payments/webhook", &[], &json!({}))
        .await;

    let ingress = metrics(sale.client()).await;
    let requests = |endpoint, status| {
        sum(
            &ingress,
            "holdfast_http_requests_total",
            &[("endpoint", endpoint), ("status", status)],
        )
    };
    assert_eq!(
        (
            requests("create_hold", "201"),
            requests("create_hold", "409")
        ),
        (1.0, 1.0)
    );
    assert_eq!(
        (requests("create_order", "201"), requests("webhook", "200")),
        (1.0, 2.0)
    );
    assert_eq!(
        sum(
            &ingress,
            "holdfast_http_request_seconds_count",
            &[("endpoint", "create_hold")]
        ),
        2.0
    );
    let webhooks = |result| sum(&ingress, "holdfast_webhooks_total", &[("result", result)]);
    assert_eq!(
        [
            webhooks("first"),
            webhooks("duplicate"),
            webhooks("refused")
        ],
        [2.0, 1.0, 1.0]
    );
    assert_eq!(sum(&ingress, "holdfast_cache_lookups_total", &[]), 3.0);
    assert!(
        sum(
            &ingress,
            "holdfast_cache_lookups_total",
            &[("result", "hit")]
        ) >= 2.0
    );
    assert!(sum(&ingress, "holdfast_envelope_commands_sum", &[]) >= 4.0);
    assert!(sum(&ingress, "holdfast_http_connections", &[]) >= 1.0);
    assert_eq!(
        sum(
            &ingress,
            "holdfast_http_request_seconds_count",
            &[("endpoint", "webhook")]
        ),
        4.0
    );

    let workers = metrics(&worker).await;
    let commands = |action, outcome| {
        sum(
            &workers,
            "holdfast_commands_total",
            &[("action", action), ("outcome", outcome)],
        )
    };
    assert_eq!(
        (
            commands("create_hold", "created"),
            commands("create_hold", "insufficient_stock")
        ),
        (1.0, 1.0)
    );
    assert_eq!(
        (
            commands("create_order", "created"),
            commands("create_product", "created")
        ),
        (1.0, 1.0)
    );
    assert_eq!(
        (
            commands("settle_payment", "processed"),
            commands("settle_payment", "parked")
        ),
        (1.0, 1.0)
    );
    for stage in ["connection", "load", "decide", "ticket", "commit"] {
        assert!(
            sum(
                &workers,
                "holdfast_batch_stage_seconds_count",
                &[("stage", stage)]
            ) >= 6.0,
            "{stage}"
        );
    }
    assert_eq!(sum(&workers, "holdfast_partitions_taken_total", &[]), 4.0);
    for (program, pool) in [(sale.client(), "ingress"), (&worker, "workers")] {
        assert_eq!(
            counted(
                program,
                "holdfast_build_info",
                &[("version", env!("CARGO_PKG_VERSION"))]
            )
            .await,
            1.0
        );
        until_is(
            program,
            "holdfast_pool_connections",
            &[("pool", pool)],
            |connections| connections >= 1.0,
        )
        .await;
    }

    // Looked at every few seconds.
    until("the parked payment to be seen", async || {
        let text = metrics(sale.client()).await;
        (sum(&text, "holdfast_payments_open", &[("state", "parked")]) == 1.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn metrics_show_waiting_commands_and_unowned_partitions() {
    let sale = builder().start_without_workers().await;
    until("the partitions to be seen as nobody's", async || {
        let text = metrics(sale.client()).await;
        (sum(&text, "holdfast_partitions_unowned", &[]) == 4.0).then_some(())
    })
    .await;
    let mut sale = sale;
    sale.start_worker().await;
    let product = sale.product(3).await;
    sale.workers.remove(0).crash().await;
    let queued = sale
        .client()
        .hold(product, 1, &[("prefer", "respond-async")])
        .await;
    assert_eq!(queued.status, StatusCode::ACCEPTED);
    until("the command's age to grow", async || {
        let text = metrics(sale.client()).await;
        (sum(&text, "holdfast_oldest_command_seconds", &[]) > 1.0).then_some(())
    })
    .await;
    sale.start_worker().await;
    until("nothing to wait", async || {
        let text = metrics(sale.client()).await;
        (sum(&text, "holdfast_oldest_command_seconds", &[]) == 0.0).then_some(())
    })
    .await;
}

/// What promtool looks at, for machines that have none: each metric has a help text and a type, and counters are named so.
fn check(text: &str) {
    let words = |kind: &str| -> Vec<(String, String)> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(&format!("# {kind} "))?.split_once(' '));
        lines
            .map(|(name, rest)| (name.to_owned(), rest.to_owned()))
            .collect()
    };
    let helped: BTreeSet<_> = words("HELP")
        .into_iter()
        .filter(|(_, help)| !help.is_empty())
        .map(|(name, _)| name)
        .collect();
    let types = words("TYPE");
    assert!(types.len() > 10, "{text}");
    for (name, kind) in &types {
        assert!(
            name.starts_with("holdfast_") && helped.contains(name),
            "{name} has no help text"
        );
        assert_eq!(
            kind == "counter",
            name.ends_with("_total"),
            "{name} is a {kind}"
        );
        assert_ne!(kind, "summary", "{name} has no buckets");
    }
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    match promtool {
        Ok(mut promtool) => {
            promtool
                .stdin
                .take()
                .unwrap()
                .write_all(text.as_bytes())
                .unwrap();
            let checked = promtool.wait_with_output().unwrap();
            assert!(
                checked.status.success(),
                "{}",
                String::from_utf8_lossy(&checked.stdout)
            );
        }
        Err(error) => println!("not checked by promtool: {error}"),
    }
}

/// The metrics that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("holdfast_")).collect()
}

#[tokio::test]
async fn alerts_and_dashboard_name_only_existing_metrics() {
    let mut sale = builder().start().await;
    let worker = worker(&mut sale).await;
    let (ingress, workers) = (metrics(sale.client()).await, metrics(&worker).await);
    check(&ingress);
    check(&workers);
    let there: BTreeSet<&str> = named(&ingress).union(&named(&workers)).copied().collect();
    for (file, text) in [("rules.yml", RULES), ("holdfast.json", DASHBOARD)] {
        let used = named(text);
        assert!(used.len() > 10, "{used:?}");
        let missing: Vec<_> = used.difference(&there).collect();
        assert!(missing.is_empty(), "{file} names {missing:?}");
    }
}

#[tokio::test]
async fn request_id_is_kept_or_created() {
    let sale = builder().start_without_workers().await;
    let ask = async |id: &str| {
        let answer = sale
            .client()
            .send(
                reqwest::Method::GET,
                "/nothing",
                &[("x-request-id", id)],
                None,
            )
            .await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(ask("checkout-42/a").await, "checkout-42/a");
    let (made, other) = (
        ask("\"},{\"level\":\"ERROR\"").await,
        ask(&"a".repeat(500)).await,
    );
    assert!(
        made != other
            && [&made, &other]
                .iter()
                .all(|id| (1..=64).contains(&id.len())),
        "{made} {other}"
    );
}
