//! Refund requests: posted to the shop's `REFUND_URL` until it accepts them.
//!
//! A refund is due in the table until a request was answered 2xx; that is then a command in the log like any other
//! change. A worker that dies in between asks again with the same id, by which the receiver knows that it has it. How
//! often one failed is remembered only here: after a restart all that is due is asked for at once.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use futures_util::{StreamExt, stream};
use holdfast_common::command::Action;
use holdfast_common::domain::RefundStatus;
use holdfast_common::log::internal;
use holdfast_common::settings::Secret;
use sha2::{Digest, Sha256};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::Worker;
use crate::observe::metrics::METRICS;
use crate::post::Poster;
use crate::store::clock;
use crate::store::refunds::{self, DueRefund};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How many requests are on their way at once.
const AT_ONCE: usize = 8;
/// The first pause after a request failed, and the longest.
const RETRY_PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(600));

/// How a refund has fared so far.
struct Attempts {
    pauses: ExponentialBackoff,
    next_at: Instant,
}

/// Asks for refunds until the process stops. Without a URL nobody is asked.
pub async fn run(worker: Arc<Worker>, stop: CancellationToken) {
    let Some(url) = worker.settings.worker.refund_url.clone() else {
        return;
    };
    let sender = Sender {
        url,
        poster: Poster::new(worker.settings.worker.refund_secret.as_slice()),
    };
    let mut attempts: HashMap<String, Attempts> = HashMap::new();
    let mut turn = tokio::time::interval(LOOK_EVERY);
    turn.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(turn.tick()).await.is_some() {
        if let Some(Err(error)) = stop
            .run_until_cancelled(ask_for_due(&worker, &sender, &mut attempts))
            .await
        {
            tracing::warn!(%error, "refunds could not be asked for, will try again");
        }
    }
}

async fn ask_for_due(
    worker: &Worker,
    sender: &Sender,
    attempts: &mut HashMap<String, Attempts>,
) -> Result<(), async_nats::Error> {
    let due = refunds::due(
        &worker.pool,
        &worker.keys,
        &worker.owner,
        worker.settings.nats.partitions,
    )
    .await?;
    let due: HashMap<String, DueRefund> = due
        .into_iter()
        .map(|refund| (refund_id(&refund), refund))
        .collect();
    attempts.retain(|id, _| due.contains_key(id));
    let now = Instant::now();
    let is_time = |id: &String| {
        attempts
            .get(id)
            .is_none_or(|attempts| attempts.next_at <= now)
    };
    let ready = due
        .into_iter()
        .filter(|(id, _)| is_time(id))
        .collect::<Vec<_>>();
    let requests = ready.into_iter().map(|(id, refund)| async move {
        let accepted = sender.post(worker, &id, &refund).await;
        (id, refund, accepted)
    });
    let mut answered = stream::iter(requests).buffer_unordered(AT_ONCE);
    while let Some((id, refund, accepted)) = answered.next().await {
        match accepted {
            Ok(()) => {
                METRICS.refunds_accepted.increment(1);
                note_requested(worker, &refund).await?;
            }
            Err(error) => {
                METRICS.refunds_failed.increment(1);
                tracing::warn!(refund = id, %error, "a refund request was not accepted, will try again");
            }
        }
        // Also when it was accepted: until the table says so, it is not asked for again at once.
        let entry = attempts.entry(id).or_insert_with(|| Attempts {
            pauses: pauses(),
            next_at: now,
        });
        entry.next_at = Instant::now() + entry.pauses.next().unwrap_or(RETRY_PAUSE.1);
    }
    Ok(())
}

fn pauses() -> ExponentialBackoff {
    let pauses = ExponentialBuilder::default()
        .with_min_delay(RETRY_PAUSE.0)
        .with_max_delay(RETRY_PAUSE.1);
    pauses.with_jitter().without_max_times().build()
}

/// The same for ever for one payment, and telling nothing of it.
fn refund_id(refund: &DueRefund) -> String {
    let order_id = refund
        .order_id()
        .map(|id| id.to_string())
        .unwrap_or_default();
    let digest = Sha256::digest(format!("{order_id} {}", refund.payment_id));
    format!("refund_{}", hex::encode(&digest[..16]))
}

struct Sender {
    url: Secret,
    poster: Poster,
}

impl Sender {
    async fn post(&self, worker: &Worker, id: &str, refund: &DueRefund) -> anyhow::Result<()> {
        let order_id = refund.order_id()?;
        let body = serde_json::json!({
            "type": "refund.due",
            "refund_id": id,
            "order_id": order_id.uuid(),
            "order_reference": format!("order_{order_id}"),
            "payment_id": refund.payment_id,
            "amount_minor": refund.amount_minor,
            "currency": refund.currency,
            "reason": refund.reason,
        })
        .to_string();
        let timestamp = clock::now(&worker.pool).await?.0 / 1_000_000;
        self.poster
            .post(
                &self.url,
                id,
                timestamp,
                "application/json",
                body.into_bytes(),
            )
            .await?;
        Ok(())
    }
}

/// Says in the log that the provider was asked.
async fn note_requested(worker: &Worker, refund: &DueRefund) -> Result<(), async_nats::Error> {
    let order_id = refund.order_id()?;
    let action = Action::AdvanceRefund {
        order_id,
        payment_id: refund.payment_id.clone(),
        to: RefundStatus::Requested,
    };
    let command = internal::command(order_id.slot(), action);
    internal::say(
        &worker.jetstream,
        &worker.settings.nats,
        &worker.keys,
        &command,
        None,
    )
    .await
    .map(drop)
}
