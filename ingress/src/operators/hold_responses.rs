//! Sends `holdfast sale watch` how many holds were created and refused, by status.

use futures_util::StreamExt;
use holdfast_common::messages::hold_responses::HoldResponseCounts;
use holdfast_common::messages::subjects::Subjects;
use holdfast_common::messages::wire::Message as _;
use tokio::task::JoinHandle;

use crate::connections::Connections;
use crate::metrics::METRICS;

/// Subscribes to requests for the counts, and starts the task that responds.
///
/// # Errors
/// When NATS does not accept the subscription.
pub async fn start(
    connections: &Connections,
    subjects: &Subjects,
) -> anyhow::Result<JoinHandle<()>> {
    let mut requests = connections
        .nats
        .subscribe(subjects.hold_responses())
        .await?;
    let (nats, ingress) = (connections.nats.clone(), connections.ingress);
    Ok(tokio::spawn(async move {
        while let Some(message) = requests.next().await {
            let Some(reply) = message.reply else { continue };
            let counts = HoldResponseCounts {
                ingress,
                holds: METRICS.hold_responses.by_status(),
            };
            if let Err(error) = nats.publish(reply, counts.encode().into()).await {
                tracing::debug!(%error, "sending the counts of hold responses failed");
            }
        }
    }))
}
