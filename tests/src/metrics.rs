//! Reads the metrics of a running program.

use reqwest::StatusCode;

use crate::client::Client;
use crate::wait::until;

/// The text that a program serves at `/metrics`.
///
/// # Panics
/// When the program does not serve metrics.
pub async fn metrics_text(client: &Client) -> String {
    let answer = client.get("/metrics").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(
        answer.header("content-type"),
        "text/plain; version=0.0.4; charset=utf-8"
    );
    answer.text
}

/// The present sum of a metric's series that have these labels.
///
/// # Panics
/// When the program does not serve metrics, or a value is not a number.
pub async fn metric_sum(client: &Client, metric: &str, labels: &[(&str, &str)]) -> f64 {
    let text = metrics_text(client).await;
    let series = text.lines().filter(|line| {
        line.strip_prefix(metric)
            .is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels
                .iter()
                .all(|(name, value)| line.contains(&format!("{name}=\"{value}\"")))
    });
    let value = |line: &str| {
        line.rsplit_once(' ')
            .and_then(|(_, value)| value.parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{metric} is not a number: {line}"))
    };
    series.map(value).sum()
}

/// Waits until the sum of a metric's series meets a condition.
///
/// # Panics
/// When it does not meet the condition by the deadline.
pub async fn until_metric(
    client: &Client,
    metric: &str,
    labels: &[(&str, &str)],
    is_met: impl Fn(f64) -> bool,
) {
    until(metric, async || {
        is_met(metric_sum(client, metric, labels).await).then_some(())
    })
    .await;
}
