//! Tells an operator who watches a sale what was answered to those who wanted a hold.

use std::sync::Arc;

use futures_util::StreamExt;
use holdfast_common::messages::answer_counts::Answers;
use holdfast_common::messages::wire::Message as _;
use holdfast_common::metrics;

use crate::App;
use crate::metrics::CREATE_HOLD_ANSWERS;

/// Listens from now on.
///
/// # Errors
/// When NATS does not take the subscription.
pub async fn start(app: Arc<App>) -> anyhow::Result<tokio::task::JoinHandle<()>> {
    let mut questions = app
        .connections
        .nats
        .subscribe(app.settings.nats.subjects.answers())
        .await?;
    Ok(tokio::spawn(async move {
        while let Some(message) = questions.next().await {
            let Some(reply) = message.reply else { continue };
            let answers = Answers {
                ingress: app.connections.ingress,
                holds: counted(&metrics::render()),
            };
            if let Err(error) = app
                .connections
                .nats
                .publish(reply, answers.encode().into())
                .await
            {
                tracing::debug!(%error, "who watches a sale was not answered");
            }
        }
    }))
}

/// The counts by status in metrics as text: there is no other way to read a counter, and nobody asks more than once a second.
fn counted(metrics: &str) -> Vec<(u16, u64)> {
    let lines = metrics
        .lines()
        .filter_map(|line| line.strip_prefix(CREATE_HOLD_ANSWERS));
    let counts = lines.filter_map(|line| line.split_once("\"} "));
    counts
        .filter_map(|(status, count)| Some((status.parse().ok()?, count.parse().ok()?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_read_by_status() {
        let metrics = "# HELP holdfast_http_requests_total Requests.\n\
            holdfast_http_requests_total{endpoint=\"create_hold\",status=\"201\"} 12\n\
            holdfast_http_requests_total{endpoint=\"create_order\",status=\"201\"} 9\n\
            holdfast_http_requests_total{endpoint=\"create_hold\",status=\"409\"} 3000000\n";
        assert_eq!(counted(metrics), [(201, 12), (409, 3_000_000)]);
    }
}
