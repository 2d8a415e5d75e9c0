//! Does what an operator asks for dead events: have them posted once more, or forget them. One worker answers for all.

use std::sync::Arc;

use async_nats::Subscriber;
use futures_util::StreamExt;
use holdfast_common::messages::event_dead_letters::{Done, Request};
use holdfast_common::messages::wire::Message as _;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::store::event_dead_letters;

/// Who shares the requests.
const WORKERS: &str = "workers";

/// Hears requests from now on.
///
/// # Errors
/// When NATS does not take the subscription.
pub async fn hear(worker: &Worker) -> anyhow::Result<Subscriber> {
    let subject = worker.settings.nats.subjects.dead_events();
    Ok(worker
        .nats
        .queue_subscribe(subject, WORKERS.to_owned())
        .await?)
}

/// Answers requests until the process stops, one at a time.
pub async fn run(worker: Arc<Worker>, mut requests: Subscriber, stop: CancellationToken) {
    while let Some(Some(message)) = stop.run_until_cancelled(requests.next()).await {
        let done = match Request::decode(&message.payload) {
            Ok(request) => Done {
                events: handle(&worker, &request).await,
            },
            Err(error) => {
                tracing::warn!(%error, "a request about dead events can't be read");
                continue;
            }
        };
        let Some(reply) = message.reply else { continue };
        if let Err(error) = worker.nats.publish(reply, done.encode().into()).await {
            tracing::warn!(%error, "who asked about dead events was not answered");
        }
    }
}

async fn handle(worker: &Worker, request: &Request) -> Option<u64> {
    // The id is not logged: it is what somebody wrote.
    let (asked, event_id) = match request {
        Request::Retry(event_id) => ("retry", event_id),
        Request::Drop(event_id) => ("drop", event_id),
    };
    tracing::info!(
        asked,
        all = event_id.is_none(),
        "an operator asks about dead events"
    );
    let done = match request {
        Request::Retry(event_id) => {
            event_dead_letters::ask(&worker.pool, event_id.as_deref()).await
        }
        Request::Drop(event_id) => {
            event_dead_letters::forget(&worker.pool, event_id.as_deref()).await
        }
    };
    done.inspect_err(|error| tracing::warn!(%error, "dead events are as they were"))
        .ok()
}
