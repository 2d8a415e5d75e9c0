//! Tests of `/metrics`, and of the metrics that alerts and the dashboard name.

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use holdfast_tests::{PARTITIONS, SaleBuilder, Webhook, metric_sum, metrics_text, until_metric};
use reqwest::StatusCode;
use serde_json::json;

const RULES: &str = include_str!("../../../deploy/prometheus/rules.yml");
const DASHBOARD: &str = include_str!("../../../deploy/grafana/holdfast.json");
const UNKNOWN_ORDER: &str = "01a20634-0c9b-8cc1-96dc-8d450eaf51d9";

#[tokio::test]
async fn metrics_count_the_events_of_a_sale() {
    let mut sale = SaleBuilder::default().worker_http().start().await;
    let worker = sale.worker_client().await;
    assert_eq!(worker.get("/healthz").await.status, StatusCode::OK);
    let product = sale.product(3).await;
    let order = sale.order(product, 2).await;
    // With a key, the refusal comes from a worker and not from the ingress's memory.
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

    let ingress = sale.client();
    type Expected = (&'static str, &'static [(&'static str, &'static str)], f64);
    const HOLD: (&str, &str) = ("endpoint", "create_hold");
    const ORDER: (&str, &str) = ("endpoint", "create_order");
    const WEBHOOK: (&str, &str) = ("endpoint", "webhook");
    let exact: [Expected; 10] = [
        ("http_requests_total", &[HOLD, ("status", "201")], 1.0),
        ("http_requests_total", &[HOLD, ("status", "409")], 1.0),
        ("http_requests_total", &[ORDER, ("status", "201")], 1.0),
        ("http_requests_total", &[WEBHOOK, ("status", "200")], 2.0),
        ("http_request_seconds_count", &[HOLD], 2.0),
        ("http_request_seconds_count", &[WEBHOOK], 4.0),
        ("webhooks_total", &[("result", "first")], 2.0),
        ("webhooks_total", &[("result", "duplicate")], 1.0),
        ("webhooks_total", &[("result", "refused")], 1.0),
        ("cache_lookups_total", &[], 3.0),
    ];
    for (metric, labels, value) in exact {
        let metric = format!("holdfast_{metric}");
        let found = metric_sum(ingress, &metric, labels).await;
        assert_eq!(found, value, "{metric} {labels:?}");
    }
    let at_least: [Expected; 3] = [
        ("cache_lookups_total", &[("result", "hit")], 2.0),
        ("envelope_commands_sum", &[], 4.0),
        ("http_connections", &[], 1.0),
    ];
    for (metric, labels, least) in at_least {
        let metric = format!("holdfast_{metric}");
        let found = metric_sum(ingress, &metric, labels).await;
        assert!(found >= least, "{metric} {labels:?} is {found}");
    }

    for (action, outcome) in [
        ("create_hold", "created"),
        ("create_hold", "insufficient_stock"),
        ("create_order", "created"),
        ("create_product", "created"),
        ("settle_payment", "processed"),
        ("settle_payment", "parked"),
    ] {
        let labels = [("action", action), ("outcome", outcome)];
        let commands = metric_sum(&worker, "holdfast_commands_total", &labels).await;
        assert_eq!(commands, 1.0, "{labels:?}");
    }
    for stage in ["connection", "load", "decide", "ticket", "commit"] {
        let labels = [("stage", stage)];
        let batches = metric_sum(&worker, "holdfast_batch_stage_seconds_count", &labels).await;
        assert!(batches >= 6.0, "{stage}: {batches}");
    }
    let taken = metric_sum(&worker, "holdfast_partitions_taken_total", &[]).await;
    assert_eq!(taken, f64::from(PARTITIONS));
    for (program, pool) in [(ingress, "ingress"), (&worker, "workers")] {
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        let builds = metric_sum(program, "holdfast_build_info", &version).await;
        assert_eq!(builds, 1.0, "{pool}");
        let pool = [("pool", pool)];
        until_metric(program, "holdfast_pool_connections", &pool, |n| n >= 1.0).await;
    }
    let parked = [("state", "parked")];
    until_metric(ingress, "holdfast_payments_open", &parked, |n| n == 1.0).await;
}

#[tokio::test]
async fn metrics_show_waiting_commands_and_unowned_partitions() {
    const AGE: &str = "holdfast_oldest_command_seconds";
    let mut sale = SaleBuilder::default().start_without_workers().await;
    until_metric(sale.client(), "holdfast_partitions_unowned", &[], |n| {
        n == f64::from(PARTITIONS)
    })
    .await;
    sale.start_worker().await;
    let product = sale.product(3).await;
    sale.workers.remove(0).crash().await;
    let queued = sale
        .client()
        .hold(product, 1, &[("prefer", "respond-async")])
        .await;
    assert_eq!(queued.status, StatusCode::ACCEPTED);
    until_metric(sale.client(), AGE, &[], |seconds| seconds > 1.0).await;
    sale.start_worker().await;
    until_metric(sale.client(), AGE, &[], |seconds| seconds == 0.0).await;
}

/// Checks some of promtool's rules, then runs promtool if it is installed: each metric has a help text and a type, and the
/// names of counters end with `_total`.
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
        Err(error) => println!("promtool did not check the metrics: {error}"),
    }
}

/// The names of metrics in a text.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("holdfast_")).collect()
}

#[tokio::test]
async fn alerts_and_dashboard_name_only_existing_metrics() {
    let mut sale = SaleBuilder::default().worker_http().start().await;
    let worker = sale.worker_client().await;
    let (ingress, workers) = (
        metrics_text(sale.client()).await,
        metrics_text(&worker).await,
    );
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
    let sale = SaleBuilder::default().start_without_workers().await;
    let request_id = async |id: &str| {
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
    assert_eq!(request_id("checkout-42/a").await, "checkout-42/a");
    let (made, other) = (
        request_id("\"},{\"level\":\"ERROR\"").await,
        request_id(&"a".repeat(500)).await,
    );
    assert!(
        made != other
            && [&made, &other]
                .iter()
                .all(|id| (1..=64).contains(&id.len())),
        "{made} {other}"
    );
}
